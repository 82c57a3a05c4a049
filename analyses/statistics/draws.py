"""Data sets with known truth, many at a time: the first axis is the data set."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from analyses.statistics.simulate import Rng

UNEQUAL = {  # sizes of clusters, by name
    "5 clusters of 1 to 20": (1, 3, 5, 10, 20),
    "10 clusters of 1 to 33": (1, 2, 2, 3, 5, 7, 10, 15, 22, 33),
    "9 items and a cluster of 30": (1,) * 9 + (30,),
    "40 clusters of 1 to 20": tuple(int(size) for size in np.geomspace(1, 20, 40).round()),
}


def codes(sizes: Sequence[int]) -> np.ndarray:
    """Cluster of each item."""
    return np.repeat(np.arange(len(sizes)), sizes)


def normal_clusters(rng: Rng, count: int, sizes: Sequence[int], correlation: float) -> np.ndarray:
    """Values around 0 with variance 1 and that correlation within clusters. (count, n)."""
    of_cluster = np.repeat(rng.normal(size=(count, len(sizes))), sizes, axis=1)
    own = rng.normal(size=(count, sum(sizes)))
    return np.sqrt(correlation) * of_cluster + np.sqrt(1 - correlation) * own


def answer_clusters(
    rng: Rng, count: int, sizes: Sequence[int], share: float, correlation: float
) -> np.ndarray:
    """Right or wrong answers; the difficulty of a cluster is drawn from a beta distribution. (count, n)."""
    if share in (0.0, 1.0):
        return np.full((count, sum(sizes)), share)
    if correlation == 0:
        return (rng.random((count, sum(sizes))) < share).astype(float)
    weight = (1 - correlation) / correlation
    ease = rng.beta(share * weight, (1 - share) * weight, size=(count, len(sizes)))
    return (rng.random((count, sum(sizes))) < np.repeat(ease, sizes, axis=1)).astype(float)


def flip_clusters(
    rng: Rng, count: int, sizes: Sequence[int], gain: float, loss: float, correlation: float
) -> np.ndarray:
    """+1 gained, -1 lost, 0 else; the shares of a cluster are drawn from a Dirichlet. (count, n)."""
    shares = np.array([gain, loss, 1 - gain - loss])
    drawn = rng.random((count, sum(sizes)))
    if correlation > 0:
        weight = (1 - correlation) / correlation
        own = rng.standard_gamma(np.maximum(shares * weight, 1e-12), size=(count, len(sizes), 3))
        own = np.repeat(own / own.sum(axis=-1, keepdims=True), sizes, axis=1)
    else:
        own = np.broadcast_to(shares, (count, sum(sizes), 3))
    gained = drawn < own[..., 0]
    return gained.astype(float) - (~gained & (drawn < own[..., 0] + own[..., 1]))


def crossed(rng: Rng, count: int, seeds: int, items: int, between: float, own: float = 0.3) -> np.ndarray:
    """Scores around 0 of the same items by every seed: seed, item and interaction. (count, seeds, items)."""
    return (
        between * rng.normal(size=(count, seeds, 1))
        + 0.4 * rng.normal(size=(count, 1, items))
        + own * rng.normal(size=(count, seeds, items))
    )


def crossed_answers(rng: Rng, count: int, seeds: int, items: int, between: float) -> np.ndarray:
    """Right or wrong, half of them right; seeds shift all items. (count, seeds, items)."""
    return (crossed(rng, count, seeds, items, between, 0.5) > 0).astype(float)


def pairs(gained: int, lost: int, other: int) -> tuple[np.ndarray, np.ndarray]:
    """(after, before) of so many items."""
    kinds = np.repeat([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]], [gained, lost, other], axis=0)
    return kinds[:, 0], kinds[:, 1]
