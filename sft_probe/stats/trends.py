"""Does a measure rise with a dose? Rank tests that ask for an order, not for a line."""

from __future__ import annotations

from math import atanh, nan, sqrt, tanh
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy.stats import kendalltau, permutation_test, rankdata, spearmanr

from sft_probe.stats.intervals import Floats, Interval, normal
from sft_probe.stats.permutation import BATCH, RESAMPLES

if TYPE_CHECKING:
    from collections.abc import Callable

FEW = 30  # up to this many values p is found by permutation


class Trend(NamedTuple):
    """estimate: from -1 (falls in every pair) to 1 (rises).  p: two-sided, NaN if nothing can be tested."""

    estimate: Interval
    p: float


def jonckheere(
    values: Floats, doses: Floats, rng: np.random.Generator, *, resamples: int = RESAMPLES
) -> Trend:
    """The Jonckheere-Terpstra test: are values in higher doses larger?

    values, doses: (n,), such as one value per run.  The estimate is the share of pairs of different dose
    that rise minus the share that fall (Somers' D), without interval. Given the doses the test is that of
    Kendall's tau, ties included; up to 30 values p comes from permutations (all of them up to 7 values).
    Source: Jonckheere 1954; Terpstra 1952.
    """
    values, doses = np.asarray(values, float), np.asarray(doses, float)
    order = np.triu(np.sign(doses[None, :] - doses[:, None]), 1)
    pairs = float(np.abs(order).sum())
    if undefined := _untestable(values, doses):
        return Trend(undefined, nan)
    rows, columns = np.nonzero(order)
    signs = order[rows, columns]

    def rises(x: Floats, axis: int = -1) -> Floats:
        apart: Floats = (np.sign(x[..., columns] - x[..., rows]) * signs).sum(axis=-1)
        return apart

    found = Interval(value=float(rises(values)) / pairs, n=values.size, n_clusters=values.size)
    if values.size > FEW:
        return Trend(found, float(kendalltau(values, doses).pvalue))
    return Trend(found, _permuted(values, rises, rng, resamples))


def spearman(
    x: Floats, y: Floats, rng: np.random.Generator, *, level: float = 0.95, resamples: int = RESAMPLES
) -> Trend:
    """Spearman's rank correlation of two measures over runs or items.

    x, y: (n,).  Limits on Fisher's scale with the variance of Bonett & Wright, from four pairs on; where
    the ranks agree throughout, half a swap of neighbours stands in for none. p as in `jonckheere`, by
    permutation up to 30 pairs, and from Student's t beyond.
    Source: Bonett & Wright 2000, Sample size requirements for estimating Pearson, Kendall and Spearman
    correlations.
    """
    x, y = np.asarray(x, float), np.asarray(y, float)
    if undefined := _untestable(x, y):
        return Trend(undefined, nan)
    one, two = rankdata(x), rankdata(y)
    one, two = one - one.mean(), two - two.mean()
    scale = sqrt(float(one @ one) * float(two @ two))
    n, value = x.size, float(one @ two) / scale
    if n > FEW:
        p = float(spearmanr(x, y).pvalue)
    else:
        p = _permuted(one, lambda drawn, axis=-1: (drawn * two).sum(axis=axis), rng, resamples)
    plain = Interval(value=value, n=n, n_clusters=n, why="fewer than four pairs" if n < 4 else "")
    if plain.why:
        return Trend(plain, p)
    bound = 1 - 6 / (n**3 - n)
    middle = min(max(value, -bound), bound)
    half = normal(level) * sqrt((1 + middle**2 / 2) / (n - 3))
    low, high = tanh(atanh(middle) - half), tanh(atanh(middle) + half)
    limits = Interval(value=value, low=low, high=high, n=n, n_clusters=n, how="Fisher's scale")
    return Trend(limits, p)


def _untestable(x: Floats, y: Floats) -> Interval | None:
    if x.size < 3:
        return Interval(value=nan, n=x.size, why="fewer than three values")
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        return Interval(value=nan, n=x.size, why="all values alike")
    return None


def _permuted(
    values: Floats, statistic: Callable[..., Floats], rng: np.random.Generator, resamples: int
) -> float:
    found = permutation_test(
        (values,),
        statistic,
        permutation_type="pairings",
        vectorized=True,
        n_resamples=resamples,
        batch=BATCH,
        rng=rng,
    )
    return float(found.pvalue)
