"""Intervals for statistics that are not means: jackknife and bootstrap over whole clusters."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import sqrt
from typing import NamedTuple

import numpy as np
from scipy.special import ndtr

from sft_probe.stats.intervals import Floats, Interval, Ints, student_t, t_interval
from sft_probe.stats.seeds import over_parts


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
    resamples: int = 1000,
    level: float = 0.95,
) -> Interval:
    """Expanded percentile interval of a statistic of sums over clusters, for jumpy statistics like a median.

    by_cluster: (clusters, k) what each cluster adds.  statistic: (resamples, k) sums -> (resamples,).
    Percentiles lie further out than 2.5 % for few clusters, by the factor sqrt(G / (G - 1)) and Student's
    t; with five clusters it still covers 92 % only. `n` is the caller's to add. Never use it over seeds.
    Source: Hesterberg 2015, What Teachers Should Know About the Bootstrap.
    """
    count = len(by_cluster)
    value = float(statistic(by_cluster.sum(axis=0, keepdims=True))[0])
    plain = Interval(value=value, n_clusters=count)
    if count < 2:
        return replace(plain, why="one cluster")
    drawn = statistic(resampled_sums(by_cluster, rng, resamples))
    named = replace(plain, how=f"bootstrap over {count} clusters")
    return expanded_percentiles(named, drawn, count - 1, level=level)


def resampled_sums(by_cluster: Floats, rng: np.random.Generator, resamples: int) -> Floats:
    """Sums over as many clusters as there are, drawn with replacement. (G, k) -> (resamples, k)."""
    count = len(by_cluster)
    sums: Floats = rng.multinomial(count, np.full(count, 1 / count), size=resamples) @ by_cluster
    return sums


def expanded_percentiles(plain: Interval, drawn: Floats, df: float, *, level: float = 0.95) -> Interval:
    """`plain` with limits and standard error from bootstrap draws.

    df: of a mean over these clusters, G - 1 if they are of equal size.
    """
    tail = float(ndtr(-sqrt((df + 1) / df) * student_t(level, df)))
    low, high = np.quantile(drawn, (tail, 1 - tail))
    return replace(plain, low=float(low), high=float(high), se=float(drawn.std(ddof=1)))


def hierarchical_interval(
    statistic: Callable[[Floats], float],
    scores: Floats,
    rng: np.random.Generator,
    clusters: Ints | None = None,
    *,
    resamples: int = 500,
    level: float = 0.95,
) -> Interval:
    """Interval for new seeds and new items of any smooth statistic, by a bootstrap of seeds and of clusters.

    statistic: of a (seeds, items) table; its columns come in another order and number.  scores: (seeds,
    items) without NaN.  clusters: (items,).  Items of a drawn cluster come whole: drawing among them again
    would count them twice. Seeds are drawn, then clusters, then both; the variances are combined as in
    `seeds.over_seeds_and_items`, each with its factor G / (G - 1), and a t quantile replaces percentiles,
    because few seeds have hardly any percentiles. Costs 3 x `resamples` calls of the statistic.
    Source: Davison & Hinkley 1997, section 3.8; Owen 2007, The pigeonhole bootstrap.
    """
    seeds, items = scores.shape
    codes = np.arange(items) if clusters is None else np.unique(clusters, return_inverse=True)[1]
    count = int(codes.max(initial=-1)) + 1
    plain = Interval(value=float(statistic(scores)), n=items, n_clusters=seeds)
    if seeds < 2 or count < 2:
        return replace(plain, why="one seed" if seeds < 2 else "one cluster")
    members = None if count == items else [np.flatnonzero(codes == code) for code in range(count)]

    def drawn(of_seeds: bool, of_items: bool) -> float:
        values = np.empty(resamples)
        for turn in range(resamples):
            table = scores[rng.integers(0, seeds, seeds)] if of_seeds else scores
            if of_items:
                chosen = rng.integers(0, count, count)
                table = table[:, np.concatenate([members[code] for code in chosen]) if members else chosen]
            values[turn] = statistic(table)
        return float(values.var(ddof=1))

    by_seed, by_item, both = drawn(True, False), drawn(False, True), drawn(True, True)
    up_seed, up_item = seeds / (seeds - 1), count / (count - 1)
    shared = max(0.0, both - by_seed - by_item) * up_seed * up_item
    parts = (
        Interval(value=plain.value, se=sqrt(by_seed * up_seed), df=seeds - 1),
        Interval(value=plain.value, se=sqrt(by_item * up_item), df=count - 1),
    )
    found = over_parts(*parts, shared, level=level)
    how = f"bootstrap over {seeds} seeds and {count} clusters"
    return replace(found, n=items, n_clusters=seeds, how=how)


def _jackknife_se(left_out: Floats) -> float:
    groups = left_out.size
    return sqrt((groups - 1) / groups * float(((left_out - left_out.mean()) ** 2).sum()))
