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


class Fork(NamedTuple):
    """Tokens read behind the first `shared` tokens of a passage, in place of what follows there."""

    shared: int
    ids: tuple[int, ...]


class Passage(NamedTuple):
    """A token sequence of which `ids[start:]` is predicted, each token from all before it. start >= 1.

    forks: read in the same row under a mask, each seeing its own past only; what follows each of their
    tokens is predicted too.
    """

    ids: tuple[int, ...]
    start: int
    forks: tuple[Fork, ...] = ()

    @property
    def size(self) -> int:
        """Tokens that are read."""
        return len(self.ids) - 1 + sum(len(fork.ids) for fork in self.forks)


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
        return max(p.size for p in self.passages)

    @cached_property
    def input_ids(self) -> Tensor:
        """(batch, seq) int64, padded with token 0."""
        padded = np.zeros((len(self.passages), self.width), dtype=np.int64)
        for row, passage in enumerate(self.passages):
            padded[row, : passage.size] = _read(passage)
        return torch.from_numpy(padded)

    @cached_property
    def forked(self) -> tuple[Tensor, Tensor] | None:
        """Positions, (batch, seq), and who sees whom, (batch, seq, seq), if some passage forks."""
        if not any(passage.forks for passage in self.passages):
            return None
        positions = np.tile(np.arange(self.width), (len(self.passages), 1))
        visible = np.tile(np.tri(self.width, dtype=np.bool_), (len(self.passages), 1, 1))
        for row, passage in enumerate(self.passages):
            at = len(passage.ids) - 1
            for fork in passage.forks:
                end = at + len(fork.ids)
                positions[row, at:end] = np.arange(fork.shared, fork.shared + len(fork.ids))
                visible[row, at:end, fork.shared : at] = False
                at = end
        return torch.from_numpy(positions), torch.from_numpy(visible)

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

    @cached_property
    def fork_offsets(self) -> dict[tuple[int, Fork], int]:
        """First row of each fork, by place of its passage in the batch; they follow the predicted tokens."""
        forks = [(at, fork) for at, passage in enumerate(self.passages) for fork in passage.forks]
        sizes = accumulate((len(fork.ids) for _, fork in forks), initial=self.offsets[-1])
        return dict(zip(forks, sizes, strict=False))

    def pick(self, states: Tensor, first: int = 0) -> Tensor:
        """(batch, seq, n) -> (k, n): a row per predicted token, passage by passage, then per token of a fork.

        first: the column of `input_ids` with which the states begin.
        """
        columns = [np.arange(p.start - 1, len(p.ids) - 1) for p in self.passages]
        columns += [np.arange(len(p.ids) - 1, p.size) for p in self.passages]
        rows = [np.full(len(part), at % len(self.passages)) for at, part in enumerate(columns)]
        places = (torch.from_numpy(np.concatenate(part)).to(states.device) for part in (rows, columns))
        row, column = places
        return states[row, column - first]

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
        rows += [
            self.fork_offsets[row, fork] + at
            for row, _, passage in wanted
            for fork in passage.forks
            for at in range(len(fork.ids))
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
    merged = []
    for alike in wishes.values():
        forks = dict.fromkeys(fork for wish in alike for fork in wish.passage.forks)
        start = min(wish.passage.start for wish in alike)
        merged.append(Passage(alike[0].passage.ids, start, tuple(forks)))
    return merged, list(wishes.values())


def _read(passage: Passage) -> tuple[int, ...]:
    """The tokens of a passage that are read, those of its forks last."""
    return passage.ids[:-1] + tuple(token for fork in passage.forks for token in fork.ids)


def plan(
    passages: Sequence[Passage], budget: Budget, vocab_size: int, only: Sequence[int] | None = None
) -> list[Batch]:
    """Batches of passages of similar length within a budget. A passage beyond the budget goes alone.

    vocab_size: 0 if logits are made some at a time.  only: indices of passages to plan; all by default.
    """
    chosen = range(len(passages)) if only is None else only
    order = sorted(chosen, key=lambda i: (passages[i].size, passages[i].start, i))
    batches: list[list[int]] = []
    first_start = 0
    for index in order:
        width, start = passages[index].size, passages[index].start
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
