"""What is put before a model: token sequences, grouped into batches of bounded size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor


class Budget(NamedTuple):
    """Bounds on one forward pass. tokens: batch times length. logits: kept positions times vocabulary."""

    tokens: int = 4096
    logits: int = 2**26


DEFAULT_BUDGET = Budget()


class Passage(NamedTuple):
    """A token sequence of which `ids[start:]` is predicted, each token from all before it. start >= 1."""

    ids: tuple[int, ...]
    start: int


@dataclass(frozen=True)
class Batch:
    """Passages that are read together, padded on the right.

    In a causal model no token sees what stands behind it, so padding on the right needs no attention mask
    and leaves positions as they are. The last token of a passage is predicted but never read.
    """

    members: tuple[int, ...]  # index of each passage among all that were planned
    passages: tuple[Passage, ...]

    @cached_property
    def input_ids(self) -> Tensor:
        """(batch, seq) int64, padded with token 0."""
        width = max(len(p.ids) - 1 for p in self.passages)
        padded = np.zeros((len(self.passages), width), dtype=np.int64)
        for row, passage in enumerate(self.passages):
            padded[row, : len(passage.ids) - 1] = passage.ids[:-1]
        return torch.from_numpy(padded)

    @property
    def columns(self) -> range:
        """The positions of `input_ids` at which at least one passage is predicted."""
        return range(min(p.start for p in self.passages) - 1, max(len(p.ids) for p in self.passages) - 1)

    @cached_property
    def offsets(self) -> tuple[int, ...]:
        """First row of each passage among the k predicted tokens of the batch, and k itself at the end."""
        return tuple(accumulate((len(p.ids) - p.start for p in self.passages), initial=0))

    def pick(self, logits: Tensor) -> Tensor:
        """(batch, columns, vocab) logits -> (k, vocab): one row per predicted token, passage by passage."""
        first = self.columns.start
        row = [i for i, p in enumerate(self.passages) for _ in range(p.start, len(p.ids))]
        column = [c - 1 - first for p in self.passages for c in range(p.start, len(p.ids))]
        return logits[torch.tensor(row, device=logits.device), torch.tensor(column, device=logits.device)]

    def rows_below(self, limit: int) -> Iterator[tuple[int, int]]:
        """(row, member) of the passages with member index below `limit`."""
        return ((row, member) for row, member in enumerate(self.members) if member < limit)

    def below(self, limit: int) -> tuple[Batch, list[int]]:
        """The part of the batch with member index below `limit`, and its rows among the predicted tokens."""
        kept = [row for row, _ in self.rows_below(limit)]
        rows = [row for i in kept for row in range(self.offsets[i], self.offsets[i + 1])]
        return Batch(tuple(self.members[i] for i in kept), tuple(self.passages[i] for i in kept)), rows


def plan(passages: Sequence[Passage], budget: Budget, vocab_size: int) -> list[Batch]:
    """Batches of passages of similar length within a budget. A passage beyond the budget goes alone."""
    order = sorted(range(len(passages)), key=lambda i: (len(passages[i].ids), passages[i].start, i))
    batches: list[list[int]] = []
    first_start = 0
    for index in order:
        length, start = len(passages[index].ids), passages[index].start
        first_start = min(first_start, start) if batches else start
        size = len(batches[-1]) + 1 if batches else 1
        fits = size * length <= budget.tokens and size * (length - first_start) * vocab_size <= budget.logits
        if batches and fits:
            batches[-1].append(index)
        else:
            batches.append([index])
            first_start = start
    return [Batch(tuple(group), tuple(passages[i] for i in group)) for group in batches]


def fit(prompt: Sequence[int], answer: Sequence[int], context: int) -> tuple[list[int], list[int], bool]:
    """Cut a prompt on the left, so that it and its answer fit a context; of a prompt one token is kept.

    The last token of the answer is predicted but not read, so `context + 1` tokens fit. An answer that
    is longer than the context is cut at its end. Returns: prompt, answer, and whether anything was cut.
    """
    answer_kept = list(answer[:context])
    room = max(1, context + 1 - len(answer_kept))
    prompt_kept = list(prompt[-room:])
    cut = len(prompt_kept) < len(prompt) or len(answer_kept) < len(answer)
    return prompt_kept, answer_kept, cut
