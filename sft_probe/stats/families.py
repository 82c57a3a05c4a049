"""Deciding over many comparisons at once: a family declared beforehand, and one error rate for it."""

from __future__ import annotations

from typing import Literal

import numpy as np
from scipy.stats import false_discovery_control

from sft_probe.stats.intervals import Floats, Ints

EXACT = 12  # up to this many clusters every assignment of signs is looked at


def adjust(p_values: Floats) -> Floats:
    """Benjamini-Hochberg adjusted p-values of one family declared beforehand; NaN stays NaN, uncounted."""
    p_values = np.asarray(p_values, dtype=np.float64)
    adjusted, tested = p_values.copy(), ~np.isnan(p_values)
    if tested.any():
        adjusted[tested] = false_discovery_control(p_values[tested], method="bh")
    return adjusted


def adjust_together(
    values: Floats,
    rng: np.random.Generator,
    clusters: Ints | None = None,
    *,
    side: Literal["both", "less"] = "both",
    resamples: int = 1999,
) -> Floats:
    """Adjusted p-values of several means being zero, where one item has a value for each of them.

    values: (n, k) without NaN, such as the change of n items at k looks.  clusters: (n,).  Returns: (k,).
    They bound the chance of any false claim among the k, and make use of how alike the k are: looks at one
    run cost far less than by Bonferroni. The largest t statistic is compared with those under random
    signs, one per cluster; all 2^G sign patterns up to 12 clusters. A column without any variation around
    zero has p = 1. With fewer than two clusters all are NaN.
    Source: Westfall & Young 1993, step-down max-T; Wu 1986 and Cameron, Gelbach & Miller 2008 for the wild
    bootstrap with the null imposed.
    """
    sums = cluster_sums(values, clusters)
    count, k = sums.shape
    if count < 2:
        return np.full(k, np.nan)
    scale = np.sqrt((sums**2).sum(axis=0))
    unit = np.divide(sums, scale, out=np.zeros_like(sums), where=scale > 0)
    observed, drawn = unit.sum(axis=0), _signs(count, rng, resamples) @ unit
    far, away = (-observed, -drawn) if side == "less" else (np.abs(observed), np.abs(drawn))
    order = np.argsort(-far, kind="stable")
    worst = np.maximum.accumulate(away[:, order[::-1]], axis=1)[:, ::-1]
    beaten = (worst >= far[order] - 1e-12).sum(axis=0)
    exact = count <= EXACT
    p = beaten / len(drawn) if exact else (beaten + 1) / (len(drawn) + 1)
    adjusted = np.empty(k)
    adjusted[order] = np.maximum.accumulate(p)
    return np.where(scale > 0, adjusted, 1.0)


def cluster_sums(values: Floats, clusters: Ints | None = None) -> Floats:
    """Sums over the items of each cluster: (n, k), (n,) -> (G, k)."""
    if clusters is None:
        return np.asarray(values, dtype=np.float64)
    _, codes = np.unique(clusters, return_inverse=True)
    sums = np.zeros((int(codes.max(initial=-1)) + 1, values.shape[1]), dtype=np.float64)
    np.add.at(sums, codes, values)
    return sums


def _signs(count: int, rng: np.random.Generator, resamples: int) -> Floats:
    """Patterns of +1 and -1: all of them for few clusters, else drawn. (patterns, count)."""
    if count <= EXACT:
        bits = np.arange(2**count)[:, None] >> np.arange(count) & 1
    else:
        bits = rng.integers(0, 2, size=(resamples, count))
    signs: Floats = np.where(bits, 1.0, -1.0)
    return signs
