"""What blocks of weights carry of a gain, from scores of models with grafted blocks. Arrays in, numbers out.

A score is one number per item, larger for better: a log-likelihood or a margin in nats.
Source: Panigrahi et al. 2023 (arXiv 2302.06600), grafting; here with whole blocks and without optimisation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Block = TypeVar("Block")


def held_back(clusters: Ints) -> Bools:
    """Items to report on after a choice was made on the first half. (n,) -> (n,)

    They are those behind the middle, less those of a cluster that also stands before it.
    """
    half = len(clusters) // 2
    later: Bools = (np.arange(len(clusters)) >= half) & ~np.isin(clusters, clusters[:half])
    return later


def share_by_item(base: Floats, tuned: Floats, grafted: Floats) -> Floats:
    """Values whose mean is the share of the gain `tuned - base` that grafted blocks carry. All (n,).

    The share is a ratio of two means, (grafted - base) / (tuned - base). The spread of these values is that
    of its linearisation, so that their clustered standard error is the one of the ratio. NaN without a gain.
    Source: Cochran 1977, Sampling Techniques, section 6.3.
    """
    gain, part = tuned - base, grafted - base
    if not gain.mean() > 0:
        return np.full(len(gain), np.nan)
    share = part.mean() / gain.mean()
    by_item: Floats = share + (part - share * gain) / gain.mean()
    return by_item


def first_carrying(sums: Floats, share: float) -> Floats:
    """How many blocks of a path carry a share of a gain. (m, 1 + k) -> (m,), 1 to k, or k + 1 for "more".

    sums: the gain, and what is gained with the first 1 to k blocks. Without a gain no block carries any.
    """
    reached = (sums[:, 1:] >= share * sums[:, :1]) & (sums[:, :1] > 0)
    first: Floats = np.where(reached.any(axis=1), reached.argmax(axis=1), reached.shape[1]) + 1.0
    return first


@dataclass(frozen=True)
class Path(Generic[Block]):
    """Blocks in the order in which they were taken, and what the score was after each."""

    blocks: tuple[Block, ...] = ()
    scores: tuple[float, ...] = ()

    def best(self) -> Path[Block]:
        """The beginning that ends with the highest score."""
        end = int(np.argmax(self.scores)) + 1 if self.scores else 0
        return Path(self.blocks[:end], self.scores[:end])


def greedy(
    score: Callable[[tuple[Block, ...]], float],
    single: Mapping[Block, float],
    promise: Mapping[Block, float],
    *,
    enough: float,
    width: int,
    most: int,
) -> Path[Block]:
    """Take block after block, each time the one with which the score is highest, until it is `enough`.

    score: of several blocks.  single: of each block alone, known already.  promise: how much a block is
    expected to add to others; only the `width` most promising ones are tried at every step, and what they
    added is what they promise from then on.  most: blocks at most.  Of equals, the first in `promise`.
    """
    expected = dict(promise)
    taken: list[Block] = []
    scores: list[float] = []
    while expected and len(taken) < most and not (scores and scores[-1] >= enough):
        ranked = sorted(expected, key=lambda block: -expected[block])
        if taken:
            found = {block: score((*taken, block)) for block in ranked[:width]}
            expected |= {block: value - scores[-1] for block, value in found.items()}
        else:
            found = {block: single[block] for block in ranked}
        best = max(found, key=lambda block: found[block])
        taken.append(best)
        scores.append(found[best])
        del expected[best]
    return Path(tuple(taken), tuple(scores))
