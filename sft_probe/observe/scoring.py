"""Log-likelihood of given continuations. All scoring of text, lm-eval's included, comes through here."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import nn

from sft_probe.observe.forward import Branch, Logits, can_branch, read_all, read_branches
from sft_probe.observe.observations import Bools, Floats, Ints
from sft_probe.observe.passages import Batch, Budget, Fork, Passage, merge

FANNED = 256  # tokens of continuations that even a short context carries in one row
PACKED = 2048  # tokens of a row with continuations beside its trunk; its mask takes the square of them


class Question(NamedTuple):
    """A context and continuations, each predicted behind it. The first one is the trunk: it is read whole."""

    context: tuple[int, ...]
    continuations: tuple[tuple[int, ...], ...]

    @property
    def trunk(self) -> Passage:
        """The context with the first continuation."""
        return Passage(self.context + self.continuations[0], len(self.context))

    @property
    def packed(self) -> Passage:
        """The trunk with other continuations beside it in the same row, as many as are worth it."""
        shared, forks = len(self.context), dict[Fork, None]()
        room = min(max(shared, FANNED), PACKED - len(self.trunk.ids))
        for continuation in self.continuations:
            fork = Fork(shared, continuation[:-1])
            if not along_trunk(self, continuation) and fork not in forks and len(fork.ids) <= room:
                forks[fork] = None
                room -= len(fork.ids)
        return self.trunk._replace(forks=tuple(forks))


class TokenScores(NamedTuple):
    """Per token of one continuation: log-probability in nats, and whether it is the most likely token."""

    logprob: Floats
    greedy: Bools


class Reader(Protocol):
    """Takes what it needs out of a shared forward pass over passages.

    The batch that it is given holds its own passages only; `batch.rows` says where they are in the pass.
    """

    keeps_cache: bool

    def watching(self, model: nn.Module, batch: Batch) -> AbstractContextManager[Any]:
        """Entered around the forward pass of a batch. What is left by an exception must not be kept."""
        ...

    def take(self, model: nn.Module, batch: Batch, logits: Logits, cache: Any) -> None:
        """logits: one row per predicted token of the batch.  cache: of the whole pass."""
        ...


def read_passages(
    model: nn.Module, wanted: Sequence[tuple[Reader, Sequence[Passage]]], budget: Budget
) -> None:
    """One look at all passages that readers want, each sequence of tokens read once for all of them.

    Where nothing is wanted, the model is not asked for anything.
    """
    readers = [reader for reader, _ in wanted]
    passages, wishes = merge([own for _, own in wanted])
    if not passages:
        return
    keep_cache = any(reader.keeps_cache for reader in readers)

    def shares(batch: Batch) -> list[tuple[Reader, Batch, list[int]]]:
        found = []
        for index, reader in enumerate(readers):
            own = [
                (row, wish.member, wish.passage)
                for row, member in enumerate(batch.members)
                for wish in wishes[member]
                if wish.reader == index
            ]
            if own:
                found.append((reader, *batch.share(own)))
        return found

    def watching(batch: Batch) -> list[AbstractContextManager[Any]]:
        return [reader.watching(model, own) for reader, own, _ in shares(batch)]

    for batch, logits, cache in read_all(model, passages, budget, keep_cache=keep_cache, watching=watching):
        for reader, own, rows in shares(batch):
            reader.take(model, own, logits.only(rows), cache)


def score(model: nn.Module, questions: Sequence[Question], budget: Budget) -> list[list[TokenScores]]:
    """Score every continuation of every question. The model is lent already (eval mode, no gradients)."""
    reader = ScoreReader(questions, budget, branching=can_branch(model))
    read_passages(model, [(reader, reader.passages)], budget)
    return reader.result(model)


def token_scores(logits: Logits, rows: Ints, tokens: Ints) -> TokenScores:
    """Log-probabilities of tokens in float32, and whether each is the most likely one.

    rows, tokens: (n,), `tokens[i]` is scored with row `rows[i]`; a row may come more than once.
    """
    used, inverse = np.unique(rows, return_inverse=True)
    order = np.argsort(inverse, kind="stable")
    bounds = np.searchsorted(inverse[order], np.arange(0, len(used) + logits.step, logits.step))
    logprob, greedy = np.zeros(len(rows)), np.zeros(len(rows), dtype=np.bool_)
    for at, (first, last) in enumerate(pairwise(bounds)):
        part, own = used[at * logits.step : (at + 1) * logits.step], order[first:last]
        chunk = logits.at(torch.from_numpy(part).to(logits.device)).float()
        row = torch.from_numpy(inverse[own] - at * logits.step).to(logits.device)
        token = torch.from_numpy(tokens[own]).to(logits.device)
        logprob[own] = (chunk[row, token] - chunk.logsumexp(-1)[row]).cpu().numpy()
        greedy[own] = (chunk.argmax(-1)[row] == token).cpu().numpy()
    return TokenScores(logprob, greedy)


@dataclass
class ScoreReader:
    """Scores all continuations of questions whose trunks are read.

    A continuation that runs along the trunk up to its last token is read off the trunk. Of any other, the
    first token is read off the trunk and the rest beside it where questions are packed, else in a branch
    behind the shared context; a model that cannot branch reads it as a passage of its own.
    """

    questions: Sequence[Question]
    budget: Budget
    branching: bool
    packing: bool = False
    keeps_cache: bool = field(init=False)
    _pieces: dict[tuple[int, int], list[TokenScores]] = field(init=False)
    _apart: list[tuple[int, int]] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        self.keeps_cache = self.branching and any(
            not along_trunk(q, c) and Fork(len(q.context), c[:-1]) not in p.forks
            for q, p in zip(self.questions, self.passages, strict=True)
            for c in q.continuations
        )
        self._pieces = defaultdict(list)

    @cached_property
    def passages(self) -> list[Passage]:
        """What must be read, question by question."""
        return [question.packed if self.packing else question.trunk for question in self.questions]

    def watching(self, model: nn.Module, batch: Batch) -> AbstractContextManager[Any]:
        """Nothing to watch."""
        return nullcontext()

    def take(self, model: nn.Module, batch: Batch, logits: Logits, cache: Any) -> None:
        """Score what the trunks show, then the branches."""
        wanted: list[tuple[tuple[int, int], range, tuple[int, ...]]] = []
        branches: list[tuple[tuple[int, int], Branch]] = []
        for at, (row, member) in enumerate(zip(batch.rows, batch.members, strict=True)):
            question, first = self.questions[member], batch.offsets[at]
            for index, continuation in enumerate(question.continuations):
                key = (member, index)
                beside = Fork(len(question.context), continuation[:-1])
                if along_trunk(question, continuation):
                    wanted.append((key, range(first, first + len(continuation)), continuation))
                elif (forked := batch.fork_offsets.get((at, beside))) is not None:
                    wanted.append((key, range(first, first + 1), continuation[:1]))
                    wanted.append((key, range(forked, forked + len(continuation) - 1), continuation[1:]))
                elif self.branching:
                    wanted.append((key, range(first, first + 1), continuation[:1]))
                    branches.append((key, Branch(row, len(question.context), continuation[:-1])))
                else:
                    self._apart.append(key)
        self._gather(logits, wanted)
        self._branch(model, cache, branches)

    def result(self, model: nn.Module) -> list[list[TokenScores]]:
        """Per question and continuation, in order."""
        if self._apart:
            asked = [(self.questions[q].context, self.questions[q].continuations[c]) for q, c in self._apart]
            alone = [Question(context, (continuation,)) for context, continuation in asked]
            for key, scores in zip(self._apart, score(model, alone, self.budget), strict=True):
                self._pieces[key] = scores
            self._apart = []
        return [
            [_joined(self._pieces[q, c]) for c in range(len(question.continuations))]
            for q, question in enumerate(self.questions)
        ]

    def _gather(
        self, logits: Logits, wanted: Sequence[tuple[tuple[int, int], range, tuple[int, ...]]]
    ) -> None:
        rows = np.array([row for _, span, _ in wanted for row in span], dtype=np.int64)
        tokens = np.array([token for _, _, ids in wanted for token in ids], dtype=np.int64)
        logprob, greedy = token_scores(logits, rows, tokens)
        at = 0
        for key, span, _ in wanted:
            self._pieces[key].append(TokenScores(logprob[at : at + len(span)], greedy[at : at + len(span)]))
            at += len(span)

    def _branch(
        self, model: nn.Module, cache: Any, branches: Sequence[tuple[tuple[int, int], Branch]]
    ) -> None:
        for group, logits in read_branches(model, cache, [branch for _, branch in branches], self.budget):
            width = len(logits) // len(group)
            wanted = []
            for row, index in enumerate(group):
                (question, c), _ = branches[index]
                rest = self.questions[question].continuations[c][1:]
                wanted.append(((question, c), range(row * width, row * width + len(rest)), rest))
            self._gather(logits, wanted)


def along_trunk(question: Question, continuation: tuple[int, ...]) -> bool:
    """Whether every token of a continuation that must be read is read with the trunk."""
    read_ids = continuation[:-1]
    return question.continuations[0][:-1][: len(read_ids)] == read_ids


def _joined(pieces: Sequence[TokenScores]) -> TokenScores:
    return TokenScores(
        np.concatenate([p.logprob for p in pieces] or [np.zeros(0)]),
        np.concatenate([p.greedy for p in pieces] or [np.zeros(0, dtype=np.bool_)]),
    )
