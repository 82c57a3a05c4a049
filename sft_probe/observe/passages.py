"""What is put before a model: token sequences, each once, grouped into batches of bounded size."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from sft_probe.errors import ModelError

logger = logging.getLogger(__name__)

OUT_OF_MEMORY = ("out of memory", "not enough memory", "can't allocate memory")


@dataclass
class Budget:
    """Bounds on one forward pass, shared by all who read; halved for good when memory runs out.

    tokens: batch times length.  logits: kept positions times vocabulary, for the few models whose logits
    cannot be made some at a time (`models/unembedding.py`).
    """

    tokens: int = 4096
    logits: int = 2**26

    def shrink(self, error: BaseException, *, rows: int, width: int) -> None:
        """Halve what was tried: `rows` sequences of `width` tokens. Any other error is raised again.

        Raises: ModelError if there was one row only.
        """
        if not out_of_memory(error):
            raise error
        if rows == 1:
            raise ModelError(
                f"memory ran out while reading one sequence of {width} tokens.",
                remedy="Use shorter rows, a smaller dtype, or a device with more memory.",
            ) from error
        self.tokens = min(self.tokens, rows * width) // 2
        self.logits //= 2
        logger.warning("memory ran out; from here on at most %d tokens are read at once", self.tokens)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def out_of_memory(error: BaseException) -> bool:
    """Whether an accelerator or the CPU had no memory left; torch says so for the CPU in words only."""
    known = isinstance(error, torch.OutOfMemoryError | MemoryError)
    return known or (isinstance(error, RuntimeError) and any(s in str(error) for s in OUT_OF_MEMORY))


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
    rows: tuple[int, ...] = ()  # row of each passage in the forward pass; its place in the batch if not given

    def __post_init__(self) -> None:
        if not self.rows:
            object.__setattr__(self, "rows", tuple(range(len(self.members))))

    @property
    def width(self) -> int:
        """Tokens of the longest passage that are read."""
        return max(len(p.ids) for p in self.passages) - 1

    @cached_property
    def input_ids(self) -> Tensor:
        """(batch, seq) int64, padded with token 0."""
        padded = np.zeros((len(self.passages), self.width), dtype=np.int64)
        for row, passage in enumerate(self.passages):
            padded[row, : len(passage.ids) - 1] = passage.ids[:-1]
        return torch.from_numpy(padded)

    @property
    def columns(self) -> range:
        """The positions of `input_ids` at which at least one passage is predicted."""
        return range(min(p.start for p in self.passages) - 1, max(len(p.ids) for p in self.passages) - 1)

    @property
    def counts(self) -> tuple[int, ...]:
        """Predicted tokens of each passage, k in all."""
        return tuple(len(p.ids) - p.start for p in self.passages)

    @cached_property
    def offsets(self) -> tuple[int, ...]:
        """First row of each passage among the k predicted tokens of the batch, and k itself at the end."""
        return tuple(accumulate(self.counts, initial=0))

    def pick(self, columns: Tensor) -> Tensor:
        """(batch, columns, n) -> (k, n): one row per predicted token, passage by passage."""
        first = self.columns.start
        row = [i for i, p in enumerate(self.passages) for _ in range(p.start, len(p.ids))]
        column = [c - 1 - first for p in self.passages for c in range(p.start, len(p.ids))]
        return columns[torch.tensor(row, device=columns.device), torch.tensor(column, device=columns.device)]

    def share(self, wanted: Sequence[tuple[int, int, Passage]]) -> tuple[Batch, list[int]]:
        """What one reader wants of the batch, and where its predicted tokens are among those of the batch.

        wanted: (row, member, passage) where the passage reads the same tokens as that row.
        """
        rows = [
            self.offsets[row] + at
            for row, _, passage in wanted
            for at in range(
                passage.start - self.passages[row].start, len(passage.ids) - self.passages[row].start
            )
        ]
        row, member, passage = zip(*wanted, strict=True)
        return Batch(member, passage, row), rows


class Wish(NamedTuple):
    """A passage that a reader wants read: index of the reader, and of the passage among those it wants."""

    reader: int
    member: int
    passage: Passage


def merge(wanted: Sequence[Sequence[Passage]]) -> tuple[list[Passage], list[list[Wish]]]:
    """What several readers want, with every sequence of read tokens once, and who wants it.

    Passages that differ only in their last token, which is predicted but not read, are read together. The
    merged passage is predicted from the earliest start that somebody wants.
    """
    wishes: dict[tuple[int, ...], list[Wish]] = {}
    for reader, passages in enumerate(wanted):
        for member, passage in enumerate(passages):
            wishes.setdefault(passage.ids[:-1], []).append(Wish(reader, member, passage))
    merged = [Passage(w[0].passage.ids, min(wish.passage.start for wish in w)) for w in wishes.values()]
    return merged, list(wishes.values())


def plan(
    passages: Sequence[Passage], budget: Budget, vocab_size: int, only: Sequence[int] | None = None
) -> list[Batch]:
    """Batches of passages of similar length within a budget. A passage beyond the budget goes alone.

    vocab_size: 0 if logits are made some at a time.  only: indices of passages to plan; all by default.
    """
    chosen = range(len(passages)) if only is None else only
    order = sorted(chosen, key=lambda i: (len(passages[i].ids), passages[i].start, i))
    batches: list[list[int]] = []
    first_start = 0
    for index in order:
        width, start = len(passages[index].ids) - 1, passages[index].start
        first_start = min(first_start, start) if batches else start
        size = len(batches[-1]) + 1 if batches else 1
        kept = size * (width + 1 - first_start)
        if batches and size * width <= budget.tokens and kept * vocab_size <= budget.logits:
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
