"""A look at models with blocks of weights of one in the other, and at the sets of blocks that a search takes.

What is changed next depends on what was seen, so one need stands for many looks. Each of them is taken by the
observer, like any look under an intervention.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Literal, NamedTuple, cast

import numpy as np
from torch import nn

from sft_probe.errors import ModelError
from sft_probe.measures.grafting import Path as Chosen
from sft_probe.measures.grafting import greedy
from sft_probe.observe.interventions import Graft, ModelIntervention
from sft_probe.observe.interventions.values import Block
from sft_probe.observe.interventions.weights import blocks
from sft_probe.observe.needs import Benchmark, Grafts, Need, Scores, TokenLogprobs
from sft_probe.observe.observations import (
    BenchmarkSeen,
    Bools,
    Floats,
    GraftItem,
    GraftsSeen,
    Observation,
    Observed,
    ScoresSeen,
    TokenLogprobsSeen,
)

See = Callable[[Sequence[ModelIntervention], Sequence[Need]], Mapping[Need, Observation] | Observed]
"""Looks at a model under changes."""

Direction = Literal["tuned_to_base", "base_to_tuned"]
DIRECTIONS: tuple[Direction, ...] = ("tuned_to_base", "base_to_tuned")


class Grounds(NamedTuple):
    """What changed models are compared on: answers to examples, and lm-eval tasks with choices, if any."""

    answers: TokenLogprobs | Scores
    benchmark: Benchmark | None = None

    @property
    def needs(self) -> tuple[TokenLogprobs | Scores | Benchmark, ...]:
        """Both, or the one there is."""
        return (self.answers, self.benchmark) if self.benchmark else (self.answers,)


def grounds(need: Grafts, paths: tuple[Path, ...]) -> tuple[Grounds, Grounds]:
    """What every graft is looked at on, and what the search goes by: the first half of the examples.

    paths: folders with lm-eval tasks. Tasks without choices have no margins and are left out.
    """
    answers = Scores if need.score == "choices" else TokenLogprobs
    tasks = choice_tasks(need.tasks, paths)
    benchmark = Benchmark(tasks=tasks, limit=need.task_limit, drawn=True) if tasks else None
    half = answers(dataset=need.dataset, limit=max(1, need.limit // 2))
    return Grounds(answers(dataset=need.dataset, limit=need.limit), benchmark), Grounds(half)


def choice_tasks(names: tuple[str, ...], paths: tuple[Path, ...]) -> tuple[str, ...]:
    """Those of some lm-eval tasks, or of the tasks in groups, that are answered by a choice.

    Raises: DataError for a task that cannot be loaded.
    """
    if not names:
        return ()
    from sft_probe.observe.lm_eval_tasks import load_tasks, quiet

    with quiet():
        tasks = load_tasks(names, paths, None)["tasks"]
    return tuple(name for name, task in tasks.items() if task.OUTPUT_TYPE == "multiple_choice")


@dataclass(frozen=True)
class Bench:
    """Items on which changed models are compared, one number per item in nats, larger for better.

    That of an example is the log-likelihood of its target or how far its right choice leads, that of a
    document how far its right choice leads.  see: looks at the tuned model.  base: what the base shows.
    """

    see: See
    grounds: Grounds
    base: Mapping[Need, Observation] | Observed

    @cached_property
    def items(self) -> tuple[GraftItem, ...]:
        """Items that have a number, in order."""
        return tuple(item for item, value in self._scored(self.base).items() if np.isfinite(value))

    def of_base(self) -> Floats:
        """The base's numbers. (items,)"""
        return self._in_order(self.base)

    def values(self, *changes: ModelIntervention) -> Floats:
        """Numbers of the tuned model under changes. (items,)"""
        return self._in_order(self.see(changes, self.grounds.needs))

    def _in_order(self, seen: Mapping[Need, Observation] | Observed) -> Floats:
        found = self._scored(seen)
        return np.array([found[item] for item in self.items], dtype=np.float64)

    def _scored(self, seen: Mapping[Need, Observation] | Observed) -> dict[GraftItem, float]:
        name, answers = self.grounds.answers.dataset, seen[self.grounds.answers]
        assert isinstance(answers, ScoresSeen | TokenLogprobsSeen)
        values = _leads(answers) if isinstance(answers, ScoresSeen) else _likelihoods(answers)
        found = {
            GraftItem(dataset=name, item=e.id, cluster=f"{name}/{e.cluster or e.id}"): float(value)
            for e, value in zip(answers.examples, values, strict=True)
        }
        if self.grounds.benchmark:
            for document in cast("BenchmarkSeen", seen[self.grounds.benchmark]).items:
                cluster = f"{document.task}/{document.cluster or document.item}"
                found[GraftItem(dataset=document.task, item=document.item, cluster=cluster)] = document.margin
        return found


def _likelihoods(seen: TokenLogprobsSeen) -> Floats:
    sums = np.zeros(len(seen.examples))
    np.add.at(sums, seen.example, seen.logprob)
    return sums


def _leads(seen: ScoresSeen) -> Floats:
    """How far the right choice leads; NaN where there are no two or the target is none of them."""
    leads = np.full(len(seen.examples), np.nan)
    for i, example in enumerate(seen.examples):
        if len(example.choices) > 1 and example.target in example.choices:
            right = example.choices.index(example.target)
            leads[i] = seen.choice_logprob[i][right] - np.delete(seen.choice_logprob[i], right).max()
    return leads


def held_back(items: Iterable[GraftItem], chosen_by: Iterable[GraftItem]) -> Bools:
    """Items on which a choice made by others may be judged: nothing of their cluster is among those."""
    known = {item.cluster for item in chosen_by}
    return np.array([item.cluster not in known for item in items], dtype=np.bool_)


def see_grafts(need: Grafts, model: nn.Module, base: nn.Module, bench: Bench, half: Bench) -> GraftsSeen:
    """Every block that training changed, grafted both ways, then the sets that the search takes.

    bench: looked at every time.  half: what the search goes by.  A model whose weights cannot be exchanged is
    not looked at, and the result says why.
    """
    before = bench.of_base()
    nothing = GraftsSeen(items=bench.items, base=before, tuned=before)
    try:
        moved = blocks(model, base)
    except ModelError as error:
        return replace(nothing, why=error.message)
    changed = tuple(block for block, differs in moved.items() if differs)
    nothing = replace(nothing, blocks=tuple(moved), changed=np.array([*moved.values()], dtype=np.bool_))
    if not changed:
        return nothing

    def grafted(direction: Direction, random: int = 0) -> Floats:
        grafts = (Graft(blocks=(block,), direction=direction, random=random) for block in changed)
        return np.array([bench.values(graft) for graft in grafts])

    seen = replace(
        nothing,
        tuned=bench.values(),
        sufficient=grafted("tuned_to_base"),
        necessary=grafted("base_to_tuned"),
        random_sufficient=grafted("tuned_to_base", need.seed),
        random_necessary=grafted("base_to_tuned", need.seed),
    )
    path = _search(need, half, seen, changed).blocks
    together = [bench.values(Graft(blocks=path[:size])) for size in range(1, len(path) + 1)]
    later = held_back(bench.items, half.items)
    return replace(seen, path=path, together=np.reshape(together, (len(path), len(before))), held_back=later)


def _search(need: Grafts, half: Bench, seen: GraftsSeen, changed: Sequence[Block]) -> Chosen[Block]:
    """The blocks that carry the gain, greedily; none without a gain.

    A block promises the mean of what it adds to the base alone and to the model as the last one. The search
    goes half-way from the share to the whole, so that the share is reached on other items too.
    """
    at = [seen.items.index(item) for item in half.items]
    base, tuned = float(seen.base[at].mean()), float(seen.tuned[at].mean())
    if not tuned > base:
        return Chosen()
    alone = dict(zip(changed, seen.sufficient[:, at].mean(axis=1).tolist(), strict=True))
    without = dict(zip(changed, seen.necessary[:, at].mean(axis=1).tolist(), strict=True))
    return greedy(
        lambda taken: float(half.values(Graft(blocks=taken)).mean()),
        alone,
        {block: (alone[block] - base + tuned - without[block]) / 2 for block in changed},
        enough=base + (1 + need.share) / 2 * (tuned - base),
        width=need.width,
        most=need.most,
    )
