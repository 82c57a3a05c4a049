"""Intervals over training seeds. A result without several seeds is one run, however many items it has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import inf, nan, sqrt

import numpy as np
from scipy.special import stdtridf

from sft_probe.stats.intervals import Floats, Interval, Ints, mean_interval, normal, student_t, t_interval


def over_seeds(values: Floats) -> Interval:
    """Student-t interval over one value per seed: what another training run of this arm would give.

    values: (seeds,), NaN left out. The items are taken as fixed. With 3 seeds a percentile bootstrap
    covers 73 % where 95 % is promised; this form covers 95 %. Seeds that are all alike, as shares of few
    items can be, say nothing about how far the next one will be off: then there are no limits.
    """
    interval = _between(values)
    if interval.se == 0:
        return Interval(value=interval.value, n=interval.n, n_clusters=interval.n, why="all seeds alike")
    return interval


def over_seeds_and_items(scores: Floats, clusters: Ints | None = None, *, level: float = 0.95) -> Interval:
    """Interval for new seeds *and* new items, from every seed's score on the same items.

    scores: (seeds, items) without NaN.  clusters: (items,).  The variance of the grand mean is the one
    between seed means plus the clustered one between item means, minus the interaction that both count,
    and at least the larger of the two; the quantile as in `over_parts`. Scores that are all alike say
    nothing about the next ones: then there are no limits.
    Source: Cameron, Gelbach & Miller 2011, Robust Inference with Multiway Clustering.
    """
    seeds, items = scores.shape
    by_seed, by_item = _between(scores.mean(axis=1)), mean_interval(scores.mean(axis=0), clusters)
    if by_seed.why or by_item.why:
        return replace(by_seed, why=by_seed.why or by_item.why, low=nan, high=nan, se=nan)
    additive = scores.mean(axis=1, keepdims=True) + scores.mean(axis=0, keepdims=True) - scores.mean()
    crossed = (seeds - 1) * (items - 1)
    interaction = float(((scores - additive) ** 2).sum()) / crossed / (seeds * items)
    interval = over_parts(by_seed, by_item, interaction, level=level)
    if interval.se == 0:
        return Interval(value=interval.value, n=items, n_clusters=seeds, why="all scores alike")
    return replace(interval, n=items, n_clusters=seeds, how=f"t over {seeds} seeds and their items")


def over_seeds_with_errors(values: Floats, errors: Floats, *, level: float = 0.95) -> Interval:
    """The same question when only each seed's value and its standard error over items are at hand.

    values, errors: (seeds,).  All seeds share the items, so their error does not shrink with the number
    of seeds: variance = var(values) / seeds + mean(errors^2). The seed-item interaction is counted twice,
    so the interval errs on the wide side. A missing error is unknown, not zero: then items are fixed.
    """
    interval = _between(values)
    if interval.why:
        return interval
    if np.isnan(errors).any():
        return replace(interval, how=f"{interval.how}, items fixed")
    items = Interval(value=nan, se=sqrt(float(np.mean(errors**2))), df=inf)
    combined = over_parts(interval, items, level=level)
    how = f"t over {interval.n} seeds and their items"
    return replace(combined, n=interval.n, n_clusters=interval.n, how=how)


def over_parts(by_seed: Interval, by_item: Interval, shared: float = 0.0, *, level: float = 0.95) -> Interval:
    """Interval of a value whose variance is that over seeds plus that over items, less what both count."""
    parts = np.array([by_seed.se, by_item.se]) ** 2
    variance, quantile = combined(parts, (by_seed.df, by_item.df), shared, level=level)
    return t_interval(by_seed.value, sqrt(float(variance)), df_of(float(quantile), level), level=level)


def df_of(quantile: float, level: float) -> float:
    """Degrees of freedom of the Student t distribution that has this two-sided quantile."""
    return float(stdtridf((1 + level) / 2, quantile)) if quantile > normal(level) + 1e-6 else inf


def combined(
    parts: Floats, dfs: Sequence[float], shared: Floats | float = 0.0, *, level: float = 0.95
) -> tuple[Floats, Floats]:
    """Variance and t quantile of a sum of parts, less what they share. (parts, ...) -> (...) and (...).

    The quantile lies between Student's t of the parts, weighted by their variances less what they share. Two
    seeds cannot tell the one from the other, so there the weights are the whole variances, which errs on the
    wide side: up to 98.7 % where 95 % is meant, against 91 % on the other side.
    Source: Cochran 1964, Approximate significance levels of the Behrens-Fisher test; Satterthwaite's degrees
    of freedom cover 87 % with two seeds that differ more than items do.
    """
    variance = np.maximum(parts.sum(axis=0) - shared, parts.max(axis=0))
    own = np.maximum(parts - shared, 1e-6 * parts) if min(dfs) > 1 else parts
    weights = np.where(parts.any(axis=0), own, 1.0)
    quantiles = np.array([student_t(level, df) for df in dfs])
    return variance, np.tensordot(quantiles, weights, 1) / weights.sum(axis=0)


def _between(values: Floats) -> Interval:
    """The t interval over seeds; without width if they are all alike."""
    interval = mean_interval(values)
    if interval.why:
        return replace(interval, why="one seed" if interval.n else "no seeds")
    return replace(interval, how=f"t over {interval.n} seeds")
