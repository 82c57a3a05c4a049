"""Log-likelihood of given continuations. All scoring of text, lm-eval's included, comes through here."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from sft_probe.observe.forward import Branch, can_branch, read, read_branches, vocabulary
from sft_probe.observe.observations import Bools, Floats
from sft_probe.observe.passages import Batch, Budget, Passage, plan

CHUNK = 2**24  # logits cast to float32 at once


class Question(NamedTuple):
    """A context and continuations, each predicted behind it. The first one is the trunk: it is read whole."""

    context: tuple[int, ...]
    continuations: tuple[tuple[int, ...], ...]

    @property
    def trunk(self) -> Passage:
        """The context with the first continuation."""
        return Passage(self.context + self.continuations[0], len(self.context))


class TokenScores(NamedTuple):
    """Per token of one continuation: log-probability in nats, and whether it is the most likely token."""

    logprob: Floats
    greedy: Bools


class Reader(Protocol):
    """Takes what it needs out of a shared forward pass over passages."""

    keeps_cache: bool

    def watching(self, model: nn.Module, batch: Batch) -> AbstractContextManager[Any]:
        """Entered around the forward pass of a batch."""
        ...

    def take(self, model: nn.Module, batch: Batch, logits: Tensor, cache: Any) -> None:
        """logits: (k, vocab), one row per predicted token of the batch."""
        ...


def read_passages(
    model: nn.Module, passages: Sequence[Passage], readers: Sequence[Reader], budget: Budget
) -> None:
    """One forward pass over all passages, from which every reader takes what it needs."""
    keep_cache = any(reader.keeps_cache for reader in readers)
    for batch in plan(passages, budget, vocabulary(model)):
        with ExitStack() as stack:
            for reader in readers:
                stack.enter_context(reader.watching(model, batch))
            logits, cache = read(model, batch, keep_cache=keep_cache)
        for reader in readers:
            reader.take(model, batch, logits, cache)


def score(model: nn.Module, questions: Sequence[Question], budget: Budget) -> list[list[TokenScores]]:
    """Score every continuation of every question. The model is lent already (eval mode, no gradients)."""
    reader = ScoreReader(questions, budget, branching=can_branch(model))
    read_passages(model, [q.trunk for q in questions], [reader], budget)
    return reader.result(model)


def token_scores(logits: Tensor, rows: Tensor, tokens: Tensor) -> tuple[Floats, Bools]:
    """Log-probabilities of tokens in float32, and whether each is the argmax.

    logits: (k, vocab).  rows, tokens: (n,) int64, token `tokens[i]` is scored with row `rows[i]`.
    """
    normaliser = torch.empty(len(logits), device=logits.device)
    best = torch.empty(len(logits), dtype=torch.int64, device=logits.device)
    step = max(1, CHUNK // logits.shape[-1])
    for at in range(0, len(logits), step):
        chunk = logits[at : at + step].float()
        normaliser[at : at + step] = chunk.logsumexp(-1)
        best[at : at + step] = chunk.argmax(-1)
    logprob = logits[rows, tokens].float() - normaliser[rows]
    return logprob.cpu().double().numpy(), (best[rows] == tokens).cpu().numpy()


@dataclass
class ScoreReader:
    """Scores all continuations of questions whose trunks are read.

    A continuation that runs along the trunk up to its last token is read off the trunk. Of any other, the
    first token is read off the trunk and the rest in a branch behind the shared context; a model that
    cannot branch reads it as a passage of its own.
    """

    questions: Sequence[Question]
    budget: Budget
    branching: bool
    keeps_cache: bool = field(init=False)
    _pieces: dict[tuple[int, int], list[TokenScores]] = field(init=False)
    _apart: list[tuple[int, int]] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        self.keeps_cache = self.branching and any(
            not _along_trunk(q, c) for q in self.questions for c in q.continuations
        )
        self._pieces = defaultdict(list)

    def watching(self, model: nn.Module, batch: Batch) -> AbstractContextManager[Any]:
        """Nothing to watch."""
        return nullcontext()

    def take(self, model: nn.Module, batch: Batch, logits: Tensor, cache: Any) -> None:
        """Score what the trunks show, then the branches."""
        wanted: list[tuple[tuple[int, int], range, tuple[int, ...]]] = []
        branches: list[tuple[tuple[int, int], Branch]] = []
        for row, member in batch.rows_below(len(self.questions)):
            question, first = self.questions[member], batch.offsets[row]
            for index, continuation in enumerate(question.continuations):
                key = (member, index)
                if _along_trunk(question, continuation):
                    wanted.append((key, range(first, first + len(continuation)), continuation))
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
        self, logits: Tensor, wanted: Sequence[tuple[tuple[int, int], range, tuple[int, ...]]]
    ) -> None:
        rows = torch.tensor([row for _, span, _ in wanted for row in span], dtype=torch.int64)
        tokens = torch.tensor([token for _, _, ids in wanted for token in ids], dtype=torch.int64)
        logprob, greedy = token_scores(logits, rows.to(logits.device), tokens.to(logits.device))
        at = 0
        for key, span, _ in wanted:
            self._pieces[key].append(TokenScores(logprob[at : at + len(span)], greedy[at : at + len(span)]))
            at += len(span)

    def _branch(
        self, model: nn.Module, cache: Any, branches: Sequence[tuple[tuple[int, int], Branch]]
    ) -> None:
        for group, logits in read_branches(model, cache, [branch for _, branch in branches], self.budget):
            width = logits.shape[1]
            wanted = []
            for row, index in enumerate(group):
                (question, c), _ = branches[index]
                rest = self.questions[question].continuations[c][1:]
                wanted.append(((question, c), range(row * width, row * width + len(rest)), rest))
            self._gather(logits.flatten(0, 1), wanted)


def _along_trunk(question: Question, continuation: tuple[int, ...]) -> bool:
    read_ids = continuation[:-1]
    return question.continuations[0][:-1][: len(read_ids)] == read_ids


def _joined(pieces: Sequence[TokenScores]) -> TokenScores:
    return TokenScores(
        np.concatenate([p.logprob for p in pieces] or [np.zeros(0)]),
        np.concatenate([p.greedy for p in pieces] or [np.zeros(0, dtype=np.bool_)]),
    )
