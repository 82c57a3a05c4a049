"""The only place that looks at models: fuses what the probes need into few passes, lends, caches the base."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, TypeGuard

import numpy as np
from torch import nn

from sft_probe.data.examples import DataSets
from sft_probe.models.anatomy import context_length
from sft_probe.models.load import LoadedModel
from sft_probe.observe.cache import BaseCache
from sft_probe.observe.divergence import BaseLogits, DivergenceReader
from sft_probe.observe.forward import can_branch
from sft_probe.observe.generating import generate
from sft_probe.observe.interventions import Intervention
from sft_probe.observe.lending import lend
from sft_probe.observe.needs import (
    Benchmark,
    Generations,
    Need,
    Scores,
    StateLikeness,
    States,
    TokenDivergence,
    Weights,
    data_of,
)
from sft_probe.observe.observations import (
    GenerationsSeen,
    Observation,
    Observed,
    ScoresSeen,
    TokenDivergenceSeen,
)
from sft_probe.observe.passages import Budget, fit
from sft_probe.observe.rendering import Rendering, own_answers
from sft_probe.observe.scoring import Question, Reader, ScoreReader, TokenScores, read_passages
from sft_probe.observe.states import BaseStates, LikenessReader, StatesReader
from sft_probe.observe.weights import unchanged, weights_seen

Forced = Scores | TokenDivergence | States | StateLikeness
Answering = Generations | TokenDivergence


class Answers(NamedTuple):
    """Greedy answers of a model to the first prompts of a data set."""

    prompts: list[tuple[int, ...]]
    ids: list[list[int]]
    truncated: list[bool]


class Observer:
    """Looks at models of one base on the data sets of one study.

    base: the pristine base; every comparison is with it, also for adapters. token_budget: tokens per
    forward pass; results do not depend on it beyond rounding (1e-5 nats in float32). chat_template: Jinja
    text or file for a tokenizer that has none. benchmark_paths: folders with lm-eval tasks. cache: folder
    that keeps what the base shows, so that it is looked at once, whatever process asks.
    """

    def __init__(
        self,
        base: LoadedModel,
        data: DataSets,
        *,
        token_budget: int = 4096,
        chat_template: str | None = None,
        benchmark_paths: tuple[Path, ...] = (),
        cache: Path | None = None,
    ) -> None:
        self.base, self.budget, self.benchmark_paths = base, Budget(tokens=token_budget), benchmark_paths
        self._rendering = Rendering(data, base.tokenizer, chat_template)
        self._base_logits = BaseLogits(base.model, self.budget)
        self._base_states = BaseStates(base.model, self.budget)
        self._base_seen: dict[Need, Observation] = {}
        self._cache: BaseCache | None = None
        if cache:
            self._cache = BaseCache(cache, base, data, self._rendering.template, benchmark_paths)

    def on(self, data: DataSets) -> Observer:
        """The same observer over other data. What was seen of the base on unchanged data is kept."""
        other, before = copy(self), self._rendering.data
        other._rendering = Rendering(data, self.base.tokenizer, self._rendering.template)
        same = {name for name in data if name in before and data[name] == before[name]}
        other._base_seen = {need: seen for need, seen in self._base_seen.items() if data_of(need) <= same}
        other._cache = replace(self._cache, data=data) if self._cache else None
        return other

    def look(self, model: nn.Module, needs: Iterable[Need]) -> Observed:
        """Look once at a model for all needs. The model is given back as it was, random state included.

        Raises: DataError for an unknown data set or benchmark, ModelError for a model that cannot be read.
        """
        if unchanged(model, self.base.model):
            return self.look_at_base(needs)
        return Observed(self._see(model, tuple(dict.fromkeys(needs))))

    def look_at_base(self, needs: Iterable[Need]) -> Observed:
        """What the base shows; each need is looked at once and kept in memory and in the cache."""
        needs = tuple(dict.fromkeys(needs))
        unseen = [need for need in needs if need not in self._base_seen]
        if self._cache:
            self._base_seen |= {n: kept for n in unseen if (kept := self._cache.get(n)) is not None}
        if missing := tuple(need for need in unseen if need not in self._base_seen):
            for need, seen in self._see(self.base.model, missing).items():
                self._base_seen[need] = seen
                if self._cache:
                    self._cache.put(need, seen)
        return Observed({need: self._base_seen[need] for need in needs})

    def _see(self, model: nn.Module, needs: tuple[Need, ...]) -> dict[Need, Observation]:
        seen: dict[Need, Observation] = {}
        with lend(model), lend(self.base.model):
            for group in _by_intervention(needs).values():
                seen |= self._see_group(model, group)
        return seen

    def _see_group(self, model: nn.Module, needs: Sequence[Need]) -> dict[Need, Observation]:
        """Needs under the same interventions."""
        seen: dict[Need, Observation] = {}
        if forced := [need for need in needs if forces(need)]:
            seen |= self._forced(model, forced)
        for (name, length), answering in _answering_by_data(needs).items():
            answers = self._answer(model, name, length, _widest(answering))
            seen |= {need: self._judge(model, need, answers) for need in answering}
        for need in needs:
            if isinstance(need, Weights):
                seen[need] = weights_seen(model, self.base.model)
            elif isinstance(need, Benchmark):
                seen[need] = self._benchmark(model, need)
        return seen

    def _forced(self, model: nn.Module, needs: Sequence[Forced]) -> dict[Need, Observation]:
        """One pass over the targets of all data sets for all needs that force them."""
        asked = {need: self._questions(model, need) for need in needs}
        readers = {need: self._reader(model, need, questions) for need, (questions, _) in asked.items()}
        wanted = [
            (reader, [question.trunk for question in asked[need][0]]) for need, reader in readers.items()
        ]
        read_passages(model, wanted, self.budget)
        return {need: self._result(model, need, reader, asked[need][1]) for need, reader in readers.items()}

    def _questions(self, model: nn.Module, need: Forced) -> tuple[list[Question], int]:
        """What is read for a need, and how many of it were cut."""
        prepared, context = self._rendering.prepared(need.dataset, need.limit), context_length(model)
        questions, cut = zip(*(p.question(context) for p in prepared), strict=True)
        return list(questions), sum(cut)

    def _reader(self, model: nn.Module, need: Forced, questions: Sequence[Question]) -> Reader:
        examples = self._rendering.examples(need.dataset, need.limit)
        if isinstance(need, Scores):
            return ScoreReader(questions, self.budget, branching=can_branch(model))
        if isinstance(need, States):
            return StatesReader(examples, need)
        if isinstance(need, StateLikeness):
            return LikenessReader(examples, need, self._base_states)
        return DivergenceReader(examples, self._base_logits)

    def _result(self, model: nn.Module, need: Forced, reader: Reader, n_cut: int) -> Observation:
        if isinstance(reader, ScoreReader):
            return self._scores(need, reader.result(model), n_cut)
        if isinstance(reader, DivergenceReader):
            return reader.result(self.base.tokenizer)
        assert isinstance(reader, StatesReader | LikenessReader)
        return reader.result()

    def _scores(self, need: Forced, scores: list[list[TokenScores]], n_cut: int) -> ScoresSeen:
        target, choices = [row[0] for row in scores], [row[1:] for row in scores]
        return ScoresSeen(
            examples=self._rendering.examples(need.dataset, need.limit),
            target_logprob=np.array([t.logprob.sum() for t in target]),
            target_tokens=np.array([len(t.logprob) for t in target], dtype=np.int64),
            target_greedy=np.array([t.greedy.all() for t in target], dtype=np.bool_),
            choice_logprob=tuple(np.array([c.logprob.sum() for c in row]) for row in choices),
            choice_tokens=tuple(np.array([len(c.logprob) for c in row], dtype=np.int64) for row in choices),
            n_truncated=n_cut,
        )

    def _answer(self, model: nn.Module, name: str, max_new_tokens: int, limit: int | None) -> Answers:
        context = context_length(model)
        room = [0] * min(max_new_tokens, context)
        fitted = [fit(p.prompt, room, context) for p in self._rendering.prepared(name, limit)]
        prompts = [tuple(prompt) for prompt, _, _ in fitted]
        ids = generate(
            model, prompts, max_new_tokens=len(room), stops=self._rendering.stops, budget=self.budget
        )
        return Answers(prompts, ids, [cut for _, _, cut in fitted])

    def _judge(
        self, model: nn.Module, need: Generations | TokenDivergence, answers: Answers
    ) -> GenerationsSeen | TokenDivergenceSeen:
        examples = self._rendering.examples(need.dataset, need.limit)
        n, tokenizer = len(examples), self.base.tokenizer
        if isinstance(need, Generations):
            ids = answers.ids[:n]
            return GenerationsSeen(
                examples=examples,
                texts=tuple(tokenizer.batch_decode(ids, skip_special_tokens=True)),
                n_tokens=np.array([len(answer) for answer in ids], dtype=np.int64),
                stopped=np.array([answer[-1] in self._rendering.stops for answer in ids], dtype=np.bool_),
                n_truncated=sum(answers.truncated[:n]),
            )
        reader = DivergenceReader(examples, BaseLogits(self.base.model, self.budget, room=0))
        read_passages(model, [(reader, own_answers(answers.prompts[:n], answers.ids[:n]))], self.budget)
        return reader.result(tokenizer)

    def _benchmark(self, model: nn.Module, need: Benchmark) -> Observation:
        from sft_probe.observe.lm_eval import LiveModel, run_benchmark

        live = LiveModel(model, self.base.tokenizer, self.budget, self._rendering.template)
        return run_benchmark(live, need, self.benchmark_paths)


def _by_intervention(needs: Iterable[Need]) -> dict[tuple[Intervention, ...], list[Need]]:
    """Needs by what they are to be seen under; weights are seen as they are."""
    groups: dict[tuple[Intervention, ...], list[Need]] = defaultdict(list)
    for need in needs:
        groups[() if isinstance(need, Weights) else need.under].append(need)
    return groups


def forces(need: Need) -> TypeGuard[Forced]:
    """Whether a need is seen while the targets of its data set are forced."""
    gold = not isinstance(need, TokenDivergence) or need.contexts == "gold"
    return isinstance(need, Forced) and gold


def _answering_by_data(needs: Iterable[Need]) -> dict[tuple[str, int], list[Answering]]:
    """Needs that let the model answer, by data set and length of the answers."""
    groups: dict[tuple[str, int], list[Answering]] = defaultdict(list)
    for need in needs:
        match need:
            case Generations() | TokenDivergence(contexts="tuned"):
                groups[need.dataset, need.max_new_tokens].append(need)
    return groups


def _widest(needs: Iterable[Forced | Generations]) -> int | None:
    """The largest limit, where none means all rows."""
    limits = [need.limit for need in needs]
    return None if None in limits else max(limit for limit in limits if limit is not None)
