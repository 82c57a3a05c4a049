"""How much work it is to look: passes and tokens, by the rules that cut the batches of a real look."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Literal, NamedTuple

import torch
from torch import nn

from sft_probe.models.anatomy import context_length
from sft_probe.models.unembedding import unembedding
from sft_probe.observe.forward import (
    Branch,
    can_branch,
    device_of,
    logits_at_once,
    plan_branches,
    vocabulary,
)
from sft_probe.observe.generating import fitting, keeps_cache
from sft_probe.observe.interventions import Intervention
from sft_probe.observe.passages import Batch, Budget, Passage, merge, plan
from sft_probe.observe.scoring import Question, along_trunk
from sft_probe.observe.trees import packs, planned


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What a look costs.

    passes: forward passes. positions: tokens in them, padding included. tokens: the same without padding.
    asked: tokens that would be read if every probe read every sequence of its own from its beginning.
    generated: tokens of answers; for these, everything here is an upper bound, because answers may end.
    """

    passes: int = 0
    positions: int = 0
    tokens: int = 0
    asked: int = 0
    generated: int = 0

    def __add__(self, other: Work) -> Work:
        return Work(**{f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(self)})

    def __mul__(self, times: int) -> Work:
        return Work(**{f.name: getattr(self, f.name) * times for f in fields(self)})

    @property
    def saved(self) -> int:
        """Tokens that are not read because something is shared."""
        return self.asked - self.tokens


class Key(NamedTuple):
    """What work is grouped by. subject: whose forward passes they are. data: a data set, or lm-eval tasks."""

    subject: Literal["model", "base"]
    under: tuple[Intervention, ...]
    data: str


@dataclass
class Ledger:
    """Work by group and in all. A pass that reads text of several groups counts in each, but once in all.

    width: tokens per row that the passes over known text have on average, weighted by their size.
    largest: positions of the largest pass.
    """

    groups: dict[Key, Work] = field(default_factory=lambda: defaultdict(Work))
    total: Work = Work()
    largest: int = 0
    _widths: int = 0
    _positions: int = 0

    @property
    def width(self) -> int:
        """See above; 1 if nothing is read."""
        return max(1, round(self._widths / self._positions)) if self._positions else 1

    def ask(self, key: Key, tokens: int) -> None:
        """Tokens that a need asks for, whoever reads them."""
        self._add({key: Work(asked=tokens)})

    def read(self, rows: Iterable[tuple[Key, int]], width: int) -> None:
        """One pass. rows: whose each row is, and its tokens without padding."""
        parts: dict[Key, Work] = defaultdict(Work)
        for key, tokens in rows:
            parts[key] += Work(tokens=tokens, positions=width)
        self._add(parts, passes=1)
        positions = sum(part.positions for part in parts.values())
        self.largest = max(self.largest, positions)
        self._positions += positions
        self._widths += positions * width

    def include(self, key: Key, other: Ledger) -> None:
        """All work of another ledger, without what it was asked."""
        self._add({key: replace(other.total, asked=0)})
        self.largest = max(self.largest, other.largest)
        self._positions += other._positions
        self._widths += other._widths

    def answer(self, key: Key, work: Work, largest: int) -> None:
        """Passes that make answers."""
        self._add({key: work})
        self.largest = max(self.largest, largest)

    def _add(self, parts: dict[Key, Work], passes: int = 0) -> None:
        for key, part in parts.items():
            self.groups[key] += part + Work(passes=passes)
            self.total += part
        self.total += Work(passes=passes)


@dataclass(frozen=True)
class Traits:
    """What of a model decides how it is read. bound: as `vocab_size` of `passages.plan`.

    wide: numbers that are kept of every predicted token of the base.
    """

    bound: int
    branching: bool
    packing: bool
    caching: bool
    context: int
    wide: int
    device: torch.device

    @staticmethod
    def of(model: nn.Module) -> Traits:
        """Asks the model itself, with a few tiny passes. The model is lent already."""
        halves = unembedding(model)
        return Traits(
            bound=logits_at_once(model),
            branching=can_branch(model),
            packing=packs(model),
            caching=keeps_cache(model),
            context=context_length(model),
            wide=int(halves.config.hidden_size) if halves else vocabulary(model),
            device=device_of(model),
        )


def batches_of(passages: Sequence[Passage], budget: Budget, traits: Traits) -> list[Batch]:
    """The passes over some passages, each sequence of read tokens once."""
    merged, _ = merge([passages])
    return plan(merged, budget, traits.bound)


def read_alone(ledger: Ledger, key: Key, batches: Iterable[Batch]) -> None:
    """Passes over the text of one group."""
    for batch in batches:
        ledger.read([(key, len(p.ids) - 1) for p in batch.passages], batch.width)


def asked_tokens(questions: Iterable[Question]) -> int:
    """Tokens read if every continuation is read behind its own copy of the context."""
    return sum(len(q.context) + len(c) - 1 for q in questions for c in q.continuations)


def read_behind(
    ledger: Ledger,
    key: Key,
    rows: Sequence[tuple[int, Question]],
    budget: Budget,
    traits: Traits,
    *,
    packed: bool = False,
) -> list[Passage]:
    """Passes over the continuations that a batch of trunks does not show. rows: place in the batch, question.

    packed: the trunks were read with forks.
    Returns: what a model that cannot branch reads later, as passages of their own.
    """
    left = []
    for row, q in rows:
        shown = {fork.ids for fork in q.packed.forks} if packed else set()
        left += [(row, q, c) for c in q.continuations if not along_trunk(q, c) and c[:-1] not in shown]
    if not traits.branching:
        return [Passage(q.context + c, len(q.context)) for _, q, c in left]
    branches = [Branch(row, len(q.context), c[:-1]) for row, q, c in left]
    for group in plan_branches(branches, budget, traits.bound, range(len(branches))):
        lengths = [len(branches[i].ids) for i in group]
        ledger.read([(key, length) for length in lengths], max(lengths))
    return []


def read_together(
    ledger: Ledger, key: Key, questions: Sequence[Question], budget: Budget, traits: Traits
) -> None:
    """The passes of `trees.score_together`."""
    ledger.ask(key, asked_tokens(questions))
    if traits.packing:
        for beginning, batches in planned(questions, budget, traits.device):
            if beginning:
                ledger.read([(key, len(beginning))], len(beginning))
            for trees in batches:
                lengths = [len(tree.ids) for tree in trees]
                ledger.read([(key, length) for length in lengths], max(lengths))
        return
    trunks, wishes = merge([[question.trunk for question in questions]])
    apart: list[Passage] = []
    for batch in plan(trunks, budget, traits.bound):
        read_alone(ledger, key, [batch])
        rows = [(row, questions[w.member]) for row, m in enumerate(batch.members) for w in wishes[m]]
        apart += read_behind(ledger, key, rows, budget, traits)
    read_alone(ledger, key, batches_of(apart, budget, traits))


def go_on(ledger: Ledger, key: Key, n: int, room: int) -> None:
    """The passes behind one over n prompts with guesses, if all are wrong and no answer ends early."""
    if n:
        work = Work(passes=room - 1, positions=n * (room - 1), tokens=n * (room - 1), generated=n * room)
        ledger.answer(key, work, n)


def answer_all(
    ledger: Ledger, key: Key, prompts: Sequence[Sequence[int]], room: int, budget: Budget, traits: Traits
) -> None:
    """The passes of `generating.generate` if no answer ends before `room` tokens."""
    order = sorted(range(len(prompts)), key=lambda i: (len(prompts[i]), i))
    while order:
        size = fitting(prompts, order, budget)
        lengths = [len(prompts[i]) for i in order[:size]]
        order = order[size:]
        more = sum(range(1, room)) + (room - 1) * lengths[-1] if not traits.caching else room - 1
        work = Work(
            passes=room,
            positions=size * (lengths[-1] + more),
            tokens=sum(lengths) + size * (room - 1),
            generated=size * room,
        )
        last = 1 if traits.caching else lengths[-1] + room - 1
        ledger.answer(key, work, size * max(lengths[-1], last))
