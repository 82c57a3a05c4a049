"""Comparing two models on the same items: intervals, tests, and the claim that nothing changed."""

from __future__ import annotations

from dataclasses import replace
from math import inf, isfinite, isnan, nan, sqrt
from typing import NamedTuple

import numpy as np
from scipy.optimize import brentq
from scipy.special import ndtr, stdtr
from scipy.stats import binom

from sft_probe.stats.intervals import (
    Floats,
    Interval,
    Ints,
    mean_interval,
    normal,
    student_t,
)


class McNemar(NamedTuple):
    """Exact and mid-p values, both two-sided. Exact is conservative: it rejects 2.5-5 % of true nulls."""

    exact: float
    mid: float


class Equivalence(NamedTuple):
    """Two one-sided tests (TOST) that a change lies within a margin declared beforehand.

    no_loss: p-value against "the change is -margin or worse".  no_gain: against "the change is +margin or
    more". A small `no_loss` alone shows that nothing was lost beyond the margin (non-inferiority).
    """

    no_loss: float
    no_gain: float

    @property
    def p(self) -> float:
        """Of equivalence in both directions: the larger of the two."""
        return nan if isnan(self.no_loss + self.no_gain) else max(self.no_loss, self.no_gain)


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
    found = _shares(after, before, clusters, level)
    if found.plain.why:
        return found.plain
    clustered = isfinite(found.df)
    low, high = _tango(found, student_t(level, found.df) if clustered else normal(level))
    how = f"Tango over {found.plain.n_clusters} clusters" if clustered else "Tango"
    return replace(found.plain, low=low, high=high, se=found.plain.se or nan, how=how)


def change_test(after: Floats, before: Floats, clusters: Ints | None = None) -> float:
    """Two-sided p-value of no change of a share, below 0.05 where `change_interval` excludes zero.

    Without clusters this is McNemar's score test. NaN below two items or clusters.
    """
    found = _shares(after, before, clusters)
    return nan if found.plain.why else 2 * _below(found, -abs(_score(found, 0.0)))


def change_equivalence(
    after: Floats, before: Floats, clusters: Ints | None = None, *, margin: float
) -> Equivalence:
    """Whether the change of a share of right answers is within `margin` (0.02 is two points).

    The score tests at the margins, which agree with `change_interval` at a level of 90 %. NaN below two
    items or clusters.
    Source: Tango 1998; Schuirmann 1987 for the two one-sided tests.
    """
    found = _shares(after, before, clusters)
    if found.plain.why:
        return Equivalence(nan, nan)
    return Equivalence(_below(found, -_score(found, -margin)), _below(found, _score(found, margin)))


def equivalence(found: Interval, *, margin: float) -> Equivalence:
    """The same question of a mean with a t interval, such as `paired_interval` or one over seeds.

    NaN if it has no standard error; a spread of zero decides by the value alone.
    """
    if isnan(found.se):
        return Equivalence(nan, nan)
    if found.se == 0:
        return Equivalence(float(found.value <= -margin), float(found.value >= margin))
    return Equivalence(
        float(stdtr(found.df, -(found.value + margin) / found.se)),
        float(stdtr(found.df, (found.value - margin) / found.se)),
    )


def mcnemar(gained: int, lost: int) -> McNemar:
    """Are gains and losses equally likely? Without any flip both p-values are 1.

    Exact: p = min(1, 2 P(Bin(gained + lost, 1/2) <= min)); mid-p gives half weight to the observed count.
    Source: McNemar 1947; Fagerland, Lydersen & Laake 2013 for mid-p.
    """
    flips, fewer = gained + lost, min(gained, lost)
    tail, point = float(binom.cdf(fewer, flips, 0.5)), float(binom.pmf(fewer, flips, 0.5))
    mid = 2 * tail - point if gained != lost else 1 - point / 2
    return McNemar(exact=min(1.0, 2 * tail), mid=mid if flips else 1.0)


class _Shares(NamedTuple):
    """Gained and lost shares of `pairs` independent pairs; df of the quantile, infinite for the normal."""

    plain: Interval
    gained: float = nan
    lost: float = nan
    pairs: float = nan
    df: float = inf


def _shares(after: Floats, before: Floats, clusters: Ints | None, level: float = 0.95) -> _Shares:
    difference = np.asarray(after, float) - np.asarray(before, float)
    plain = mean_interval(difference, clusters, level=level)
    if plain.why:
        return _Shares(plain)
    churn = float(np.mean(np.abs(difference[~np.isnan(difference)])))
    gained = (churn + plain.value) / 2
    if plain.n_clusters == plain.n:
        return _Shares(plain, gained, churn - gained, plain.n)
    return _Shares(plain, gained, churn - gained, _independent_pairs(plain, churn), plain.df)


def _independent_pairs(plain: Interval, churn: float) -> float:
    """How many independent pairs would give the clustered standard error; G if no item changed."""
    variance = churn - plain.value**2
    return variance / plain.se**2 if variance > 0 and plain.se > 0 else plain.n_clusters


def _below(found: _Shares, score: float) -> float:
    return float(stdtr(found.df, score) if isfinite(found.df) else ndtr(score))


def _score(found: _Shares, change: float) -> float:
    """Tango's score statistic of a true change, between -1 and 1: positive if more was gained than that."""
    a, b = 2.0, -found.gained - found.lost + (2 - found.gained + found.lost) * change
    c = -found.lost * change * (1 - change)
    q = (sqrt(max(0.0, b * b - 4 * a * c)) - b) / (2 * a)
    spread = max(2 * q + change * (1 - change), 1e-300)
    return (found.gained - found.lost - change) * sqrt(found.pairs / spread)


def _tango(found: _Shares, quantile: float) -> tuple[float, float]:
    """Limits of `gained - lost` where the score statistic meets the quantile."""
    observed, edge = found.gained - found.lost, 1 - 1e-9
    low = brentq(lambda x: _score(found, x) - quantile, -edge, observed) if observed > -edge else -1.0
    high = brentq(lambda x: _score(found, x) + quantile, observed, edge) if observed < edge else 1.0
    return float(low), float(high)
