"""Comparing items of two kinds: training rows with held-out ones, planted secrets with secrets left out."""

from __future__ import annotations

from dataclasses import replace
from math import inf, isfinite, isnan, nan, sqrt

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

from sft_probe.stats.intervals import (
    Floats,
    Interval,
    Ints,
    mean_interval,
    normal,
    student_t,
    t_interval,
)
from sft_probe.stats.seeds import combined, df_of

Bools = NDArray[np.bool_]


def difference_interval(
    a: Floats,
    b: Floats,
    clusters_a: Ints | None = None,
    clusters_b: Ints | None = None,
    *,
    level: float = 0.95,
) -> Interval:
    """Mean of `a` minus mean of `b` for different items; clusters never span both.

    a: (m,), b: (n,), NaN left out.  Clustered standard errors, Welch's degrees of freedom.
    """
    one, two = mean_interval(a, clusters_a), mean_interval(b, clusters_b)
    value, n, groups = one.value - two.value, one.n + two.n, one.n_clusters + two.n_clusters
    if why := one.why or two.why:
        return Interval(value=value, n=n, n_clusters=groups, why=why)
    parts, df = np.array([one.se, two.se]) ** 2, np.array([one.df, two.df])
    se, spread = float(np.sqrt(parts.sum())), float((parts**2 / df).sum())
    freedom = float(parts.sum()) ** 2 / spread if spread > 0 else float(df.sum())
    how = f"Welch over {one.n_clusters} and {two.n_clusters} clusters"
    return replace(t_interval(value, se, freedom, level=level), n=n, n_clusters=groups, how=how)


def estimates_interval(a: Interval, b: Interval, *, level: float = 0.95) -> Interval:
    """`b` minus `a` of two independent estimates, from their own 95 % limits, which may be asymmetric.

    Each limit of the difference adds the squares of the two distances that push it there. Limits for another
    level stretch as Student's t does with the smaller number of degrees of freedom (infinite where NaN). An
    estimate without spread (se 0) is known exactly. Without limits the difference has none either.
    `se` is the half-width towards zero over its quantile, so that `t_test` agrees with the 95 % limits.
    Source: Newcombe 1998 (method 10) for shares; Zou & Donner 2008, MOVER, for any pair of intervals.
    """
    value, n = b.value - a.value, min(a.n, b.n)
    known = [replace(x, low=x.value, high=x.value) if x.se == 0 and isnan(x.low) else x for x in (a, b)]
    (a_low, a_high), (b_low, b_high) = ((x.value - x.low, x.high - x.value) for x in known)
    below, above = sqrt(b_low**2 + a_high**2), sqrt(b_high**2 + a_low**2)
    if isnan(below + above):
        return Interval(value=value, n=n, why=a.why or b.why or "no interval")
    df = min(x.df if x.df > 0 else inf for x in (a, b))
    towards = below if value > 0 else above
    stretch = _quantile(level, df) / _quantile(0.95, df)
    return Interval(
        value=value,
        low=value - stretch * below,
        high=value + stretch * above,
        se=towards / _quantile(0.95, df),
        n=n,
        n_clusters=min(a.n_clusters, b.n_clusters),
        df=df,
        how="from two intervals",
    )


def auc_interval(
    member_placements: Floats,
    other_placements: Floats,
    member_clusters: Ints | None = None,
    other_clusters: Ints | None = None,
    *,
    level: float = 0.95,
) -> Interval:
    """Area under the ROC curve with a score interval that has width even where separation is perfect.

    placements: (m,) and (n,), as from `measures.membership.placements`; the mean of either is the AUC.
    The standard error is DeLong's, clustered; the limits are Newcombe's, with m and n divided by the
    ratio of clustered to plain variance, and 1.96 replaced by Student's t for few clusters.
    Source: DeLong et al. 1988; Newcombe 2006, Confidence intervals for an effect size measure based on the
    Mann-Whitney statistic, method 5; Obuchowski 1997 for clusters.
    """
    one = mean_interval(member_placements, member_clusters)
    two = mean_interval(other_placements, other_clusters)
    n, groups = one.n + two.n, one.n_clusters + two.n_clusters
    if why := one.why or two.why:
        return Interval(value=one.value if one.n and two.n else nan, n=n, n_clusters=groups, why=why)
    m, k = (_effective(values, i) for values, i in ((member_placements, one), (other_placements, two)))
    few = min(one.n_clusters, two.n_clusters)
    quantile = student_t(level, few - 1) if groups < n else normal(level)
    low, high = _newcombe(one.value, m, k, quantile)
    se = sqrt(one.se**2 + two.se**2)
    how = f"Newcombe over {one.n_clusters} and {two.n_clusters} clusters"
    return Interval(
        value=one.value, low=low, high=high, se=se if se > 0 else nan, n=n, n_clusters=groups, how=how
    )


def inclusion_effect(scores: Floats, included: Bools, *, level: float = 0.95) -> tuple[Interval, Floats]:
    """What including an item in training does to its own score, from runs that drew anew what to include.

    scores, included: (runs, items); NaN where a run has no score of an item.  The estimate is the mean over
    items of (mean score where included - mean score where left out), over items that were seen in both
    states. Its variance is clustered both by item and by run, because the items of one run share a model.
    Returns the interval, with `n` items and `n_clusters` runs, and each item's own difference (items,).
    Source: Zhang et al. 2023, Counterfactual Memorization in Neural Language Models (arXiv 2112.12938);
    Cameron, Gelbach & Miller 2011 for two-way clusters.
    """
    present = ~np.isnan(scores)
    inside, outside = (mask & present for mask in (included, ~included))
    both = inside.any(axis=0) & outside.any(axis=0)
    differences = np.full(scores.shape[1], nan)
    if not both.any():
        return Interval(value=nan, why="no item was included in one run and left out of another"), differences
    inside, outside, y = inside[:, both], outside[:, both], np.where(present, scores, 0.0)[:, both]
    weight = inside / inside.sum(axis=0) - outside / outside.sum(axis=0)
    differences[both] = (weight * y).sum(axis=0)
    value, n, runs = float(differences[both].mean()), int(both.sum()), len(scores)
    if n < 2:
        return Interval(value=value, n=n, n_clusters=1, why="one item"), differences
    share = inside.sum(axis=0) / (inside | outside).sum(axis=0)
    mean = y.sum(axis=0) / (inside | outside).sum(axis=0)
    influence = weight / n * (y - mean - value * (inside - share))
    parts = [
        float((influence.sum(axis=axis) ** 2).sum()) * count / (count - 1)
        for axis, count in ((0, n), (1, runs))
    ]
    variance, quantile = combined(
        np.array(parts), (n - 1, runs - 1), float((influence**2).sum()), level=level
    )
    limits = t_interval(value, sqrt(float(variance)), df_of(float(quantile), level), level=level)
    return replace(limits, n=n, n_clusters=min(runs, n), how=f"t over {runs} runs and {n} items"), differences


def _quantile(level: float, df: float) -> float:
    return student_t(level, df) if isfinite(df) else normal(level)


def _effective(values: Floats, interval: Interval) -> float:
    """Independent items that would give the clustered standard error; all of them if nothing varies."""
    plain = float(np.nanvar(values, ddof=1))
    return plain / interval.se**2 if plain > 0 and interval.se > 0 else float(interval.n_clusters)


def _newcombe(area: float, m: float, n: float, quantile: float) -> tuple[float, float]:
    """Areas whose own standard error puts the observed one just `quantile` of them away."""
    middle = (m + n) / 2 - 1

    def away(true: float) -> float:
        factor = 1 + middle * (1 - true) / (2 - true) + middle * true / (1 + true)
        return (area - true) ** 2 - quantile**2 * true * (1 - true) * factor / (m * n)

    edge = 1e-9
    low = brentq(away, 0.0, min(area, 1 - edge)) if area > edge else 0.0
    high = brentq(away, max(area, edge), 1.0) if area < 1 - edge else 1.0
    return float(low), float(high)
