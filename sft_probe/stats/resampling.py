"""Intervals for statistics that are not means: jackknife and bootstrap over whole clusters."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import sqrt
from typing import NamedTuple

import numpy as np

from sft_probe.stats.intervals import Floats, Interval, Ints, t_interval


class Scale(NamedTuple):
    """Where an interval is symmetric: a monotone map there, and back."""

    to: Callable[[Floats], Floats]
    back: Callable[[Floats], Floats]


IDENTITY = Scale(lambda x: x, lambda x: x)
FISHER = Scale(np.arctanh, np.tanh)  # for likenesses up to 1: limits never pass 1
LOG = Scale(np.log, np.exp)  # for ratios from 0: limits never pass 0


def balanced_groups(clusters: Ints, count: int = 20) -> Ints:
    """Deal whole clusters, in turn, into at most `count` groups of about equal size. (n,) -> (n,) ids."""
    _, codes = np.unique(clusters, return_inverse=True)
    groups: Ints = codes % count
    return groups


def jackknife_interval(
    value: float, left_out: Floats, *, scale: Scale = IDENTITY, level: float = 0.95
) -> Interval:
    """Interval of a smooth statistic from its values with one group of data left out in turn.

    value: the statistic on all data.  left_out: (g,) the statistic without group 0..g-1.
    SE^2 = (g - 1) / g * sum (left_out - their mean)^2, t with g - 1 degrees of freedom; limits are made
    on `scale` where all values are finite there. `n` and `n_clusters` are the caller's to add.
    Source: Kott 2001, The Delete-a-Group Jackknife.
    """
    if left_out.size < 2 or not np.isfinite(left_out).all() or not np.isfinite(value):
        return Interval(value=value, why="too few clusters to leave one out")
    with np.errstate(divide="ignore", invalid="ignore"):
        there = scale.to(np.array([value, *left_out]))
    if not np.isfinite(there).all():
        scale, there = IDENTITY, np.array([value, *left_out])
    limits = t_interval(float(there[0]), _jackknife_se(there[1:]), left_out.size - 1, level=level)
    low, high = scale.back(np.array([limits.low, limits.high]))
    return Interval(
        value=value,
        low=float(low),
        high=float(high),
        se=_jackknife_se(left_out),
        how=f"jackknife over {left_out.size} groups",
    )


def bootstrap_interval(
    statistic: Callable[[Floats], Floats],
    by_cluster: Floats,
    rng: np.random.Generator,
    *,
    resamples: int = 400,
    level: float = 0.95,
) -> Interval:
    """Percentile interval of a statistic of sums over clusters, for jumpy statistics such as a median.

    by_cluster: (clusters, k) what each cluster adds.  statistic: (resamples, k) sums -> (resamples,).
    `n` is the caller's to add. Too narrow below about 20 clusters; never use it over training seeds.
    """
    count = len(by_cluster)
    value = float(statistic(by_cluster.sum(axis=0, keepdims=True))[0])
    plain = Interval(value=value, n_clusters=count)
    if count < 2:
        return replace(plain, why="one cluster")
    weights = rng.multinomial(count, np.full(count, 1 / count), size=resamples)
    drawn = statistic(weights @ by_cluster)
    low, high = np.quantile(drawn, ((1 - level) / 2, (1 + level) / 2))
    how = f"bootstrap over {count} clusters"
    return replace(plain, low=float(low), high=float(high), se=float(drawn.std(ddof=1)), how=how)


def _jackknife_se(left_out: Floats) -> float:
    groups = left_out.size
    return sqrt((groups - 1) / groups * float(((left_out - left_out.mean()) ** 2).sum()))
