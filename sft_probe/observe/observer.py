"""The only place that looks at models: fuses what the probes need into few passes, lends, caches the base."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from sft_probe.data.examples import DataSets, Example
from sft_probe.models.anatomy import context_length
from sft_probe.models.load import LoadedModel
from sft_probe.models.sharing import shared_copy
from sft_probe.models.unembedding import unembedding
from sft_probe.observe.answering import Answerer, Answers, Prompt
from sft_probe.observe.attending import attention_seen, named_tokens
from sft_probe.observe.cache import BaseCache
from sft_probe.observe.directions import vectors
from sft_probe.observe.divergence import BaseLogits, DivergenceReader
from sft_probe.observe.forward import can_branch, logits_of
from sft_probe.observe.grafting import Bench, grounds, see_grafts
from sft_probe.observe.grouping import (
    Answering,
    Asking,
    Decoding,
    Forced,
    afterwards,
    asking,
    at_base,
    by_asking,
    by_changes,
    declared,
    forces,
    of_base_too,
    widest,
    widest_scores,
    with_directions,
)
from sft_probe.observe.interventions import Declared, Direction, ModelIntervention
from sft_probe.observe.interventions.changes import intervene
from sft_probe.observe.interventions.prompts import split
from sft_probe.observe.lending import lend
from sft_probe.observe.needs import (
    Attention,
    Benchmark,
    Generations,
    Grafts,
    Need,
    Scores,
    StateLikeness,
    States,
    TokenDivergence,
    TokenLogprobs,
    Unembedding,
    Weights,
    data_of,
)
from sft_probe.observe.observations import Observation, Observed, ScoresSeen
from sft_probe.observe.passages import Batch, Budget, Passage
from sft_probe.observe.ranks import Ranks, divided, merged, together
from sft_probe.observe.reading_out import unembedding_seen
from sft_probe.observe.rendering import Rendering
from sft_probe.observe.scoring import Question, Reader, ScoreReader, TokenScores, read_passages
from sft_probe.observe.states import BaseStates, LikenessReader, StatesReader
from sft_probe.observe.tokens import LogprobReader
from sft_probe.observe.trees import packs
from sft_probe.observe.weights import unchanged, weights_seen

if TYPE_CHECKING:
    from sft_probe.observe.lm_eval import Known


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
        self.forget()
        self._base_seen: dict[Need, Observation] = {}
        self._base_answers: dict[tuple[Prompt, Decoding], list[list[int]]] = {}
        self._benchmark_requests: Known | None = None
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

    def forget(self) -> None:
        """Forget the numbers read off the base so far, but not what was made of them.

        They stand in for passes that would round otherwise in other company. A run that begins without them
        ends with the same last bits in whichever process, and after whichever runs, it is done.
        """
        self._base_logits = BaseLogits(self.base.model, self.budget)
        self._base_states = BaseStates(self.base.model, self.budget)

    def look(self, model: nn.Module, needs: Iterable[Need], *, anew: bool = False) -> Observed:
        """Look once at a model for all needs. The model is given back as it was, random state included.

        anew: read a model too that is exactly its base, in place of what the base showed before.
        Raises: DataError for an unknown data set or benchmark, ModelError for a model that cannot be read.
        """
        wanted = tuple(dict.fromkeys(needs))
        if not wanted or (not anew and unchanged(model, self.base.model)):
            return self.look_at_base(wanted)
        return Observed(self._see(model, wanted))

    def look_at_base(self, needs: Iterable[Need]) -> Observed:
        """What the base shows; each need is looked at once and kept in memory and in the cache.

        Between the base and itself nothing mixes or shifts: grafts, interpolation and mean shifts leave it
        as it is. Other changes of the model are made, and divergences are from the base without them.
        """
        asked = {need: at_base(need) for need in needs}
        simple_needs, ranks = tuple(dict.fromkeys(asked.values())), Ranks.here()
        unseen = [need for need in simple_needs if need not in self._base_seen]
        if self._cache:
            self._base_seen |= {n: kept for n in unseen if (kept := self._cache.get(n)) is not None}
        known = ranks.gather([need in self._base_seen for need in simple_needs])
        if missing := tuple(n for n, *by in zip(simple_needs, *known, strict=True) if not all(by)):
            read = self._base_logits, self._base_states
            self.forget()
            seen = self._see(self.base.model, missing)
            self._base_logits, self._base_states = read
            self._base_seen |= seen
            if self._cache and ranks.first:
                self._cache.put(seen)
        return Observed({need: self._base_seen[simple] for need, simple in asked.items()})

    def _see(self, model: nn.Module, needs: tuple[Need, ...]) -> dict[Need, Observation]:
        """What all processes see together, where several train the model, else what this one sees."""
        if (ranks := Ranks.here()).count == 1:
            return self._see_here(model, needs)
        number = {need: at for at, need in enumerate(needs)}
        parts, whole = divided(needs, ranks, lambda need: len(self._examples(need) or ()))
        part = copy(self)
        part._rendering = self._rendering.part(ranks.rank, ranks.count)
        part._base_seen, part._cache = {}, None
        own: dict[Need, Observation] = {}

        def look() -> dict[int, Observation]:
            own.update(part._see_here(model, tuple(parts)) | self._see_here(model, tuple(whole)))
            return {number[n]: s for n, s in own.items() if not isinstance(n, Weights | Unembedding)}

        found = merged(together(ranks, look), lambda at: self._examples(needs[at]))
        return own | {needs[at]: seen for at, seen in found.items()}

    def _examples(self, need: Need) -> tuple[Example, ...] | None:
        dataset = getattr(need, "dataset", None)
        return self._rendering.examples(dataset, getattr(need, "limit", None)) if dataset else None

    def _see_here(self, model: nn.Module, needs: tuple[Need, ...]) -> dict[Need, Observation]:
        """Group by group of needs under the same changes of the model, the plain model first.

        Directions are measured on the plain models. A base that is changed is a copy over the same weights,
        so that it can be compared with itself unchanged.
        """
        seen: dict[Need, Observation] = {}
        named = declared(needs)
        directions: dict[Declared, Direction] = {}
        with lend(model), lend(self.base.model):
            for changes, group in by_changes((*needs, *named.values())).items():
                if changes:
                    directions = directions or vectors(named, seen, self.look_at_base(of_base_too(named)))
                    seen |= self._see_changed(model, with_directions(changes, directions), group)
                else:
                    seen |= self._see_group(model, tuple(dict.fromkeys(group)))
        return {need: seen[need] for need in needs}

    def _see_changed(
        self, model: nn.Module, changes: Sequence[ModelIntervention], needs: Sequence[Need]
    ) -> dict[Need, Observation]:
        subject = shared_copy(model) if model is self.base.model else model
        with lend(subject), intervene(subject, self.base.model, changes):
            return self._see_group(subject, needs)

    def _see_group(self, model: nn.Module, needs: Sequence[Need]) -> dict[Need, Observation]:
        """Needs under the same changes of the model."""
        answerer, answering = self._answerer(model), by_asking(needs)
        seen = self._forced(answerer, [need for need in needs if forces(need)], answering)
        for asked, own in answering.items():
            seen |= self._answered(answerer, asked, own)
        for need in needs:
            if isinstance(need, Weights):
                seen[need] = weights_seen(model, self.base.model)
            elif isinstance(need, Unembedding):
                seen[need] = unembedding_seen(model, self.base.tokenizer)
            elif isinstance(need, Attention):
                seen[need] = self._attention(model, need)
            elif isinstance(need, Benchmark):
                seen[need] = self._benchmark(model, need)
            elif isinstance(need, Grafts):
                seen[need] = self._grafts(model, need)
        return seen

    def _forced(
        self, answerer: Answerer, needs: Sequence[Forced], answering: Mapping[Asking, Sequence[Answering]]
    ) -> dict[Need, Observation]:
        """One pass over known text of all data sets for all needs that force it; answers begin in it."""
        model = answerer.model
        asked = {need: self._questions(model, need) for need in needs}
        read = widest_scores(needs)
        readers = {need: self._reader(model, need, asked[need][0]) for need in dict.fromkeys(read.values())}
        wanted: list[tuple[Reader, Sequence[Passage]]] = [
            (
                reader,
                reader.passages if isinstance(reader, ScoreReader) else [q.trunk for q in asked[need][0]],
            )
            for need, reader in readers.items()
        ]
        drafts = [answerer.draft(a, widest(n), keep_states=afterwards(n)) for a, n in answering.items()]
        wanted += [(draft.reader, draft.passages) for draft in drafts if draft]
        read_passages(model, wanted, self.budget)
        for draft in filter(None, drafts):
            answerer.learn(draft)
        return {need: self._result(model, need, readers[read[need]], asked[need][1]) for need in needs}

    def _questions(self, model: nn.Module, need: Forced) -> tuple[list[Question], int]:
        """What is read for a need, and how many of it were cut."""
        if isinstance(need, TokenDivergence | TokenLogprobs) and need.contexts in ("base", "sampled"):
            answers = self._answerer(self.base.model).answer(asking(need), need.limit)
            return answers.questions(len(answers.prompts)), sum(answers.truncated)
        wording, context = split(need.under)[0], context_length(model)
        prepared = self._rendering.prepared(need.dataset, need.limit, wording)
        questions, cut = zip(*(p.question(context) for p in prepared), strict=True)
        return list(questions), sum(cut)

    def _reader(self, model: nn.Module, need: Forced, questions: Sequence[Question]) -> Reader:
        examples = self._rendering.examples(need.dataset, need.limit)
        if isinstance(need, Scores):
            branching, packing = can_branch(model), unembedding(model) is not None and packs(self.base.model)
            return ScoreReader(questions, self.budget, branching=branching, packing=packing)
        if isinstance(need, States):
            return StatesReader(examples, need)
        if isinstance(need, StateLikeness):
            return LikenessReader(examples, need, self._base_states)
        if isinstance(need, TokenLogprobs):
            return LogprobReader(examples, need.contexts)
        passing = need.contexts == "tuned"  # such text does not come back at the next look
        base = BaseLogits(self.base.model, self.budget, room=0) if passing else self._base_logits
        return DivergenceReader(examples, base, need.contexts)

    def _result(self, model: nn.Module, need: Forced, reader: Reader, n_cut: int) -> Observation:
        if isinstance(reader, ScoreReader):
            return self._scores(need, reader.result(model), n_cut)
        if isinstance(reader, DivergenceReader):
            return reader.result(self.base.tokenizer)
        if isinstance(reader, LogprobReader):
            return reader.result(self.base.tokenizer, n_cut)
        assert isinstance(reader, StatesReader | LikenessReader)
        return reader.result()

    def _scores(self, need: Forced, scores: list[list[TokenScores]], n_cut: int) -> ScoresSeen:
        examples = self._rendering.examples(need.dataset, need.limit)
        target, choices = zip(*((row[0], row[1:]) for row in scores[: len(examples)]), strict=True)
        return ScoresSeen(
            examples=examples,
            target_logprob=np.array([t.logprob.sum() for t in target]),
            target_tokens=np.array([len(t.logprob) for t in target], dtype=np.int64),
            target_greedy=np.array([t.greedy.all() for t in target], dtype=np.bool_),
            choice_logprob=tuple(np.array([c.logprob.sum() for c in row]) for row in choices),
            choice_tokens=tuple(np.array([len(c.logprob) for c in row], dtype=np.int64) for row in choices),
            n_truncated=n_cut,
        )

    def _answered(
        self, answerer: Answerer, asked: Asking, needs: Sequence[Answering]
    ) -> dict[Need, Observation]:
        """A model's answers for needs that ask alike, and what it says of them once they are forced."""
        model, answers = answerer.model, answerer.answer(asked, widest(needs))
        rows = {need: self._rendering.examples(need.dataset, need.limit) for need in needs}
        readers = {need: self._reader(model, need, ()) for need in needs if not isinstance(need, Generations)}
        self._force(model, answers, [(reader, len(rows[need])) for need, reader in readers.items()])
        seen: dict[Need, Observation] = {}
        for need, examples in rows.items():
            if isinstance(need, Generations):
                seen[need] = answerer.seen(asked, answers, examples)
            else:
                seen[need] = self._result(model, need, readers[need], sum(answers.truncated[: len(examples)]))
        return seen

    def _force(self, model: nn.Module, answers: Answers, readers: Sequence[tuple[Reader, int]]) -> None:
        """Show readers the first answers, by the states behind which they were made if these are kept."""
        wanted = [(reader, [q.trunk for q in answers.questions(n)]) for reader, n in readers]
        if answers.states is None:
            read_passages(model, wanted, self.budget)
            return
        for reader, passages in wanted:
            batch = Batch(tuple(range(len(passages))), tuple(passages))
            reader.take(model, batch, logits_of(model, torch.cat(answers.states[: len(passages)])), None)

    def _answerer(self, model: nn.Module) -> Answerer:
        known = self._base_answers if model is self.base.model else {}
        return Answerer(model, self._rendering, self.budget, known)

    def _attention(self, model: nn.Module, need: Attention) -> Observation:
        examples = self._rendering.examples(need.dataset, need.limit)
        prepared = self._rendering.prepared(need.dataset, need.limit)
        named = [
            named_tokens(e, p.prompt, need.field, self.base.tokenizer, self._rendering.template)
            for e, p in zip(examples, prepared, strict=True)
        ]
        passages = [p.question(context_length(model))[0].trunk for p in prepared]
        return attention_seen((model, self.base.model), examples, passages, named, self.budget)

    def _grafts(self, model: nn.Module, need: Grafts) -> Observation:
        """Every look is under its own changes of the model, which is lent already."""

        def see(changes: Sequence[ModelIntervention], needs: Sequence[Need]) -> dict[Need, Observation]:
            with intervene(model, self.base.model, changes):
                return self._see_group(model, needs)

        every, half = (
            Bench(see, ground, self.look_at_base(ground.needs))
            for ground in grounds(need, self.benchmark_paths)
        )
        return see_grafts(need, model, self.base.model, every, half)

    def _benchmark(self, model: nn.Module, need: Benchmark) -> Observation:
        from sft_probe.observe.lm_eval import Known, LiveModel, run_benchmark

        self._benchmark_requests = self._benchmark_requests or Known()
        template = self._rendering.template
        live = LiveModel(model, self.base.tokenizer, self.budget, template, self._benchmark_requests)
        return run_benchmark(live, need, self.benchmark_paths)
