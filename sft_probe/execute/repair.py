"""Take back as little of a run's training as brings back most of what was lost.

Two ways are tried: blocks of weights reset to those of the base, and one step towards the base with all
weights (WiSE-FT). Both are chosen on one half of the items and judged on the other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import nn

from sft_probe.data.chat import ensure_chat_template
from sft_probe.errors import GateNotMet, ModelError, StoreError
from sft_probe.execute.prepare import fitting, load_data, set_threads, task_folders
from sft_probe.measures.grafting import greedy, share_by_item
from sft_probe.measures.text import exact_match
from sft_probe.models.load import LoadedModel, fresh_copy, load_base, load_tuned
from sft_probe.observe.cache import cache_folder
from sft_probe.observe.grafting import Bench, Grounds, choice_tasks, held_back
from sft_probe.observe.interventions import Graft, Interpolate, ModelIntervention
from sft_probe.observe.interventions.changes import intervene
from sft_probe.observe.interventions.values import Block
from sft_probe.observe.interventions.weights import blocks
from sft_probe.observe.needs import Benchmark, Generations, Need, TokenLogprobs
from sft_probe.observe.observations import Bools, Floats, GenerationsSeen, Observation
from sft_probe.observe.observer import Observer
from sft_probe.observe.weights import home
from sft_probe.stats.contrasts import paired_interval
from sft_probe.stats.intervals import Interval, cluster_codes, mean_interval, share_interval
from sft_probe.store.documents import STUDY, read_document
from sft_probe.store.runs import RunStore
from sft_probe.study.progress import Progress, Silent
from sft_probe.study.yaml import load_study

Way = Literal["blocks", "wise"]
WAYS: tuple[Way, ...] = ("blocks", "wise")

TASK = "test"
BENCHMARKS = ("world",)  # where neither probe of benchmarks says which
ALPHAS = tuple(round(0.1 * step, 1) for step in range(1, 10))
WIDTH, MOST = 3, 8  # of the search for blocks
NEGLIGIBLE = 0.05  # nats per document that are not worth a repair, however surely they were lost


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """One model on the items held back.

    restored, kept: shares of what was lost and of what was gained. exact: share of greedy answers that equal
    their target. right: share of benchmark documents whose right choice leads. scores: change from the tuned
    model by data set, in nats.
    """

    restored: Interval
    kept: Interval
    exact: Interval
    right: Interval
    scores: Mapping[str, Interval]


@dataclass(frozen=True, slots=True, kw_only=True)
class Repair:
    """What was found. blocks: those to reset, none if resetting any costs more than it brings back.

    alpha: of base + alpha (tuned - base). written: the way whose model is written. lost: benchmarks that
    lost. models: by name, base and tuned among them.
    """

    run: str
    blocks: tuple[Block, ...]
    alpha: float
    written: Way
    lost: tuple[str, ...]
    models: Mapping[str, Judged]

    def change(self, way: Way) -> ModelIntervention:
        """What makes the tuned model the repaired one."""
        if way == "wise":
            return Interpolate(self.alpha)
        return Graft(blocks=self.blocks, direction="base_to_tuned")


class _Loaded(NamedTuple):
    base: LoadedModel
    model: nn.Module
    observer: Observer
    tasks: tuple[str, ...]


def repair_run(
    run: Path,
    output_dir: Path,
    *,
    way: Way | None = None,
    items: int = 200,
    documents: int = 60,
    progress: Progress | None = None,
) -> Repair:
    """Find both repairs of a finished run and write the model of one, with its numbers beside it.

    run: a run's folder.  way: which is written; if not given, the better one on the items of the choice.
    items, documents: rows of the test set and documents of each benchmark, half of them for the choice.
    Raises: StoreError if it is no run or its model was not kept, GateNotMet if nothing was gained or lost.
    """
    progress = progress or Silent()
    folder = run.resolve() / "model"
    if output_dir.resolve() in (folder, folder.parent):
        raise StoreError("the repaired model would overwrite the run.", file=output_dir)
    loaded = _load(run.resolve())
    choosing, judging = (_bench(loaded, items // n, documents // n) for n in (2, 1))
    choice = _Choice(choosing)
    choice.check()
    progress.start(len(blocks(loaded.model, loaded.base.model)) + WIDTH * (MOST - 1) + len(ALPHAS))
    try:
        reset = _blocks(choice, loaded, lambda: progress.advance(1))
        alpha = _alpha(choice, lambda: progress.advance(1))
    finally:
        progress.close()
    found = Repair(
        run=run.name,
        blocks=reset,
        alpha=alpha,
        written=way or "blocks",
        lost=choice.lost,
        models={},
    )
    if way is None:
        found = replace(found, written=max(WAYS, key=lambda way: choice.answers(found.change(way))))
    found = replace(found, models=dict(_judged(found, choice, judging)))
    write_changed(loaded.model, loaded.base, found.change(found.written), output_dir)
    return found


def _load(run: Path) -> _Loaded:
    study = run.parent.parent
    if not (run / "config.yaml").is_file() or not (study / STUDY).is_file():
        raise StoreError(
            "this is not the folder of a run.", file=run, remedy="Name one below `<output_dir>/runs`."
        )
    if not (run / "model").is_dir():
        raise StoreError(
            "the model of this run was not kept.",
            file=run,
            remedy="Run the study again with save_model: true.",
        )
    spec = load_study(study / STUDY, overrides={"output_dir": str(study)})
    data = load_data(spec.data, study, seed=spec.data_seed)
    base = load_base(spec.base)
    if (read_document(study, "environment") or {}).get("base", {}).get("sha256") != base.digest:
        raise ModelError("this is not the base that the run was trained from.", file=base.path)
    set_threads(spec.base, base)
    ensure_chat_template(base.tokenizer, spec.data.chat_template)
    data = fitting(data, spec.data, base.tokenizer)
    paths = task_folders(spec.data.include_path, study)
    probes: dict[str, Any] = RunStore(study).config(run.name).get("probes", {})
    named = [tuple(probes[name]["tasks"]) for name in ("forgetting", "grafting") if name in probes]
    tasks = choice_tasks(named[0] if named else BENCHMARKS, paths)
    observer = Observer(base, data, benchmark_paths=paths, cache=cache_folder(study))
    return _Loaded(base, load_tuned(run / "model", base), observer, tasks)


def _bench(loaded: _Loaded, items: int, documents: int) -> Bench:
    def see(changes: Sequence[ModelIntervention], needs: Sequence[Need]) -> Mapping[Need, Observation]:
        seen = loaded.observer.look(loaded.model, [_under(need, changes) for need in needs])
        return {need: seen[_under(need, changes)] for need in needs}

    benchmark = Benchmark(tasks=loaded.tasks, limit=documents, drawn=True) if loaded.tasks else None
    grounds = Grounds(TokenLogprobs(dataset=TASK, limit=items), benchmark)
    return Bench(see, grounds, loaded.observer.look_at_base(grounds.needs))


def _under(need: Any, changes: Sequence[ModelIntervention]) -> Need:
    changed: Need = replace(need, under=tuple(changes))
    return changed


@dataclass(frozen=True)
class _Choice:
    """Items by which both repairs are chosen."""

    bench: Bench

    @cached_property
    def base(self) -> Floats:
        return self.bench.of_base()

    @cached_property
    def tuned(self) -> Floats:
        return self.bench.values()

    @cached_property
    def gain(self) -> Interval:
        """Of the task."""
        return self._change(TASK)

    @cached_property
    def lost(self) -> tuple[str, ...]:
        """Benchmarks on which the tuned model is shown to do worse."""
        named = dict.fromkeys(item.dataset for item in self.bench.items if item.dataset != TASK)
        changes = {name: self._change(name) for name in named}
        return tuple(name for name, c in changes.items() if c.value < -NEGLIGIBLE and c.high < 0)

    def check(self) -> None:
        """Raises: GateNotMet if there is nothing to repair or nothing to keep."""
        if not self.lost:
            raise GateNotMet("No benchmark is shown to have lost anything, so there is nothing to repair.")
        if not self.gain.low > 0:
            raise GateNotMet("No gain on the task is shown, so the base itself is the best repair.")

    def worth(self, *changes: ModelIntervention) -> float:
        """Share of the loss that is restored plus share of the gain that is kept; 1 for the tuned model.

        More than all does not count.
        """
        values, task, lost = self.bench.values(*changes), self.of(TASK), self.of(*self.lost)
        restored = share_by_item(self.tuned[lost], self.base[lost], values[lost]).mean()
        kept = share_by_item(self.base[task], self.tuned[task], values[task]).mean()
        return float(min(1.0, restored) + min(1.0, kept))

    def answers(self, change: ModelIntervention) -> float:
        """Share of the loss that is restored plus share of exact answers.

        Likelihood misleads between the two ways: near the base it can be kept without one answer being given.
        """
        values, lost = self.bench.values(change), self.of(*self.lost)
        restored = share_by_item(self.tuned[lost], self.base[lost], values[lost]).mean()
        return float(min(1.0, restored) + _exact(self.bench, change).mean())

    def of(self, *names: str) -> Bools:
        """Items of some data sets."""
        return of_sets(self.bench, names)

    def _change(self, name: str) -> Interval:
        own = self.of(name)
        return paired_interval(self.tuned[own], self.base[own], _clusters(self.bench)[own])


def of_sets(bench: Bench, names: Sequence[str]) -> Bools:
    """Items of some data sets. (items,)"""
    return np.array([item.dataset in names for item in bench.items], dtype=np.bool_)


def _clusters(bench: Bench) -> Any:
    return cluster_codes([item.cluster for item in bench.items])


def _blocks(choice: _Choice, loaded: _Loaded, done: Callable[[], None]) -> tuple[Block, ...]:
    """The blocks to reset; none where that is worth less than the tuned model."""

    def worth(reset: tuple[Block, ...]) -> float:
        done()
        return choice.worth(Graft(blocks=reset, direction="base_to_tuned"))

    changed = [block for block, moved in blocks(loaded.model, loaded.base.model).items() if moved]
    alone = {block: worth((block,)) for block in changed}
    promise = {block: value - 1 for block, value in alone.items()}
    path = greedy(worth, alone, promise, enough=2.0, width=WIDTH, most=MOST).best()
    return path.blocks if path.scores and path.scores[-1] > 1 else ()


def _alpha(choice: _Choice, done: Callable[[], None]) -> float:
    found = {}
    for alpha in ALPHAS:
        found[alpha] = choice.worth(Interpolate(alpha))
        done()
    return max(found, key=lambda alpha: found[alpha])


def _judged(found: Repair, choice: _Choice, bench: Bench) -> Iterator[tuple[str, Judged]]:
    """All four models on items that share no cluster with those of the choice."""
    later = held_back(bench.items, choice.bench.items)
    clusters = _clusters(bench)
    base, tuned = bench.of_base(), bench.values()
    changes: dict[str, ModelIntervention] = {"base": Interpolate(0.0), "tuned": Interpolate(1.0)}
    changes |= {way: found.change(way) for way in WAYS}
    task, lost = (of_sets(bench, names) & later for names in ((TASK,), found.lost))
    documents = ~of_sets(bench, (TASK,)) & later
    for name, change in changes.items():
        values, exact = bench.values(change), _exact(bench, change)
        scores = {
            data: paired_interval(values[own], tuned[own], clusters[own])
            for data in dict.fromkeys(item.dataset for item in bench.items)
            if (own := of_sets(bench, (data,)) & later).any()
        }
        yield (
            name,
            Judged(
                restored=mean_interval(share_by_item(tuned[lost], base[lost], values[lost]), clusters[lost]),
                kept=mean_interval(share_by_item(base[task], tuned[task], values[task]), clusters[task]),
                exact=share_interval(exact[task[: len(exact)]], clusters[task]),
                right=share_interval((values[documents] > 0).astype(float), clusters[documents]),
                scores=scores,
            ),
        )


def _exact(bench: Bench, change: ModelIntervention) -> Floats:
    """Whether greedy answers equal their targets. (examples,)"""
    need = Generations(dataset=TASK, limit=bench.grounds.answers.limit)
    seen = bench.see((change,), (need,))[need]
    assert isinstance(seen, GenerationsSeen)
    pairs = zip(seen.texts, seen.examples, seen.stopped, strict=True)
    return np.array([float(ended and exact_match(text, e.target)) for text, e, ended in pairs])


def write_changed(model: nn.Module, base: LoadedModel, change: ModelIntervention, folder: Path) -> None:
    """A tuned model under a change of its weights, dense and with its tokenizer, as safetensors.

    Raises: ModelError if an adapter has untied embeddings that the base ties.
    """
    merged: Any = fresh_copy(base)
    written: dict[int, torch.Tensor] = {}
    with torch.no_grad(), intervene(model, base.model, [change]):
        for name, parameter in merged.named_parameters(remove_duplicate=False):
            weight = getattr(home(model, name)[0], name.rpartition(".")[2])
            if not torch.equal(written.setdefault(id(parameter), weight), weight):
                raise ModelError("the adapter has untied embeddings that the base ties; merge it first.")
            parameter.copy_(weight)
    merged.save_pretrained(folder)
    base.tokenizer.save_pretrained(folder)
