"""Comparing two models on the same items, and deciding over many comparisons at once."""

from __future__ import annotations

from dataclasses import replace
from math import nan, sqrt
from typing import NamedTuple

import numpy as np
from scipy.optimize import brentq
from scipy.special import ndtri
from scipy.stats import binom, false_discovery_control

from sft_probe.stats.intervals import Floats, Interval, Ints, mean_interval, normal, student_t


class McNemar(NamedTuple):
    """Exact and mid-p values, both two-sided. Exact is conservative: it rejects 2.5-5 % of true nulls."""

    exact: float
    mid: float


def paired_interval(after: Floats, before: Floats, clusters: Ints | None = None) -> Interval:
    """Mean of `after - before` over the same items, clustered. All (n,); NaN pairs are left out.

    Source: Miller 2024 (arXiv 2411.00640), paired differences.
    """
    return mean_interval(np.asarray(after, float) - np.asarray(before, float), clusters)


def change_interval(
    after: Floats, before: Floats, clusters: Ints | None = None, *, level: float = 0.95
) -> Interval:
    """Change of a share of right answers over the same items, by Tango's score interval.

    after, before: (n,) zeros and ones.  With clusters, counts are scaled to the effective number of
    independent pairs and Student's t replaces the normal quantile. The interval has width even if no
    item changed: "no flips in 200 items" allows a change of about 2 points.
    Source: Tango 1998, Equivalence test and confidence interval for the difference in proportions for the
    paired-sample design.
    """
    difference = np.asarray(after, float) - np.asarray(before, float)
    plain = mean_interval(difference, clusters, level=level)
    if plain.why:
        return plain
    churn = float(np.mean(difference != 0))
    gained = (churn + plain.value) / 2
    clustered = plain.n_clusters < plain.n
    quantile = student_t(level, plain.n_clusters - 1) if clustered else normal(level)
    pairs = _independent_pairs(plain, churn) if clustered else plain.n
    low, high = _tango(gained, churn - gained, pairs, quantile)
    how = f"Tango over {plain.n_clusters} clusters" if clustered else "Tango"
    return replace(plain, low=low, high=high, se=plain.se if plain.se > 0 else nan, how=how)


def mcnemar(gained: int, lost: int) -> McNemar:
    """Are gains and losses equally likely? Without any flip both p-values are 1.

    Exact: p = min(1, 2 P(Bin(gained + lost, 1/2) <= min)); mid-p gives half weight to the observed count.
    Source: McNemar 1947; Fagerland, Lydersen & Laake 2013 for mid-p.
    """
    flips, fewer = gained + lost, min(gained, lost)
    tail, point = float(binom.cdf(fewer, flips, 0.5)), float(binom.pmf(fewer, flips, 0.5))
    mid = 2 * tail - point if gained != lost else 1 - point / 2
    return McNemar(exact=min(1.0, 2 * tail), mid=mid if flips else 1.0)


def adjust(p_values: Floats) -> Floats:
    """Benjamini-Hochberg adjusted p-values of one family declared beforehand; NaN stays NaN, uncounted."""
    p_values = np.asarray(p_values, dtype=np.float64)
    adjusted, tested = p_values.copy(), ~np.isnan(p_values)
    if tested.any():
        adjusted[tested] = false_discovery_control(p_values[tested], method="bh")
    return adjusted


def detectable_effect(se: float, *, alpha: float = 0.05, power: float = 0.8) -> float:
    """Smallest true effect found with this power by a two-sided test at `alpha`: 2.8 standard errors.

    For a paired share with churn psi over n items the standard error is sqrt(psi / n).
    Source: Miller 2024 (arXiv 2411.00640), power analysis.
    """
    return float(ndtri(1 - alpha / 2) + ndtri(power)) * se


def _independent_pairs(plain: Interval, churn: float) -> float:
    """How many independent pairs would give the clustered standard error; G if no item changed."""
    variance = churn - plain.value**2
    return variance / plain.se**2 if variance > 0 and plain.se > 0 else plain.n_clusters


def _tango(gained: float, lost: float, n: float, quantile: float) -> tuple[float, float]:
    """Limits of `gained - lost` (shares of n pairs) where Tango's score statistic meets the quantile."""

    def score(change: float) -> float:
        a, b = 2.0, -gained - lost + (2 - gained + lost) * change
        c = -lost * change * (1 - change)
        q = (sqrt(max(0.0, b * b - 4 * a * c)) - b) / (2 * a)
        spread = max(2 * q + change * (1 - change), 1e-300)
        return (gained - lost - change) * sqrt(n / spread)

    observed, edge = gained - lost, 1 - 1e-9
    low = brentq(lambda x: score(x) - quantile, -edge, observed) if observed > -edge else -1.0
    high = brentq(lambda x: score(x) + quantile, observed, edge) if observed < edge else 1.0
    return float(low), float(high)
