"""What a number does as the dose grows: slope, trend, saturation, power, limit of detection, recovery. Pure.

One value per cell, a cell being one training run: its seed is what was drawn anew, so there is no other
interval here than over seeds. Arrays are (doses, seeds), NaN where a cell is missing.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isnan, nan, sqrt
from typing import TYPE_CHECKING, Literal

import numpy as np
from scipy.stats import beta, nct

from sft_probe.stats.intervals import Floats, Interval, mean_interval, student_t, t_interval
from sft_probe.stats.trends import jonckheere

if TYPE_CHECKING:
    from collections.abc import Sequence

Sign = Literal[1, -1]
ALPHA = 0.05
ENOUGH = 0.8  # power from which on a dose counts as detectable
NEARLY = 0.1  # share of the whole effect that a saturated number may still lack


@dataclass(frozen=True, slots=True, kw_only=True)
class DoseResponse:
    """What was found; NaN where undefined.

    slope: per unit of the dose.  trend_p: one-sided.  power: per dose, NaN at the null dose.  lod,
    saturation: doses.  null_low, null_high: where the number of one more run at the null dose falls in 95 %.
    """

    slope: Interval
    trend_p: float
    monotone: bool | None
    saturation: float
    power: tuple[float, ...]
    lod: float
    null_low: float
    null_high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovered:
    """Estimated against planted dose.

    bias: relative to the dose, over seeds.  rmse: in units of the dose.  coverage: share of runs whose own
    interval holds the dose.  n: runs.
    """

    bias: Interval
    rmse: float
    coverage: float
    n: int


def respond(doses: Sequence[float], values: Floats, sign: Sign, rng: np.random.Generator) -> DoseResponse:
    """Everything about one number. doses: ascending, the null dose first. values: (doses, seeds)."""
    found = power(values, sign)
    low, high = null_band(values[0])
    return DoseResponse(
        slope=slope(doses, values),
        trend_p=trend(doses, values, sign, rng),
        monotone=monotone(values, sign),
        saturation=saturation(doses, values, sign),
        power=tuple(found),
        lod=limit_of_detection(doses, found),
        null_low=low,
        null_high=high,
    )


def slope(doses: Sequence[float], values: Floats) -> Interval:
    """Least squares over all cells, with the t interval of N - 2 degrees of freedom.

    Where the response bends, what the line misses counts as noise and makes the interval wider; so does what
    seeds have in common over doses, as long as every seed has every dose.
    """
    x, y = _cells(doses, values)
    if y.size < 3 or np.ptp(x) == 0:
        return Interval(value=nan, n=y.size, why="fewer than three cells at two doses")
    centred = x - x.mean()
    squares = float(centred @ centred)
    value = float(centred @ y) / squares
    rest = y - y.mean() - value * centred
    df = y.size - 2
    return t_interval(value, sqrt(float(rest @ rest) / df / squares), df)


def trend(doses: Sequence[float], values: Floats, sign: Sign, rng: np.random.Generator) -> float:
    """One-sided p of the Jonckheere-Terpstra test in the direction of `sign`; NaN if it cannot be made."""
    x, y = _cells(doses, values)
    found = jonckheere(y, x, rng)
    return found.p / 2 if found.estimate.value * sign > 0 else 1 - found.p / 2


def monotone(values: Floats, sign: Sign) -> bool | None:
    """Whether no mean over seeds falls behind the one before it (times `sign`) beyond the noise.

    Noise: a one-sided t test with the standard deviation pooled over doses, 5 % over all steps together.
    None if no dose has two seeds.
    """
    means, counts = np.nanmean(values, axis=1), (~np.isnan(values)).sum(axis=1)
    spread, df = _pooled(values)
    if df < 1:
        return None
    steps = sign * np.diff(means)
    errors = spread * np.sqrt(1 / counts[1:] + 1 / counts[:-1])
    bound = student_t(1 - 2 * ALPHA / steps.size, df)
    return bool((steps >= -bound * errors - 1e-12).all())


def saturation(doses: Sequence[float], values: Floats, sign: Sign) -> float:
    """Lowest dose, below the top one, from which on the number no longer rises; NaN if it still does.

    No longer: a line over the doses from there on does not rise beyond its one-sided 95 % limit, and at most
    a tenth of the whole effect is still to come.
    """
    means = sign * np.nanmean(values, axis=1)
    whole = means[-1] - means[0]
    if whole <= 0:
        return nan
    for at in range(1, len(doses) - 1):
        line = slope(doses[at:], values[at:])
        level = student_t(1 - 2 * ALPHA, line.df) * line.se if line.df >= 1 else nan
        if means[-1] - means[at] <= NEARLY * whole and sign * line.value - level <= 0:
            return float(doses[at])
    return nan


def power(values: Floats, sign: Sign) -> list[float]:
    """Chance, per dose, that a t test between its runs and those at the null dose rejects to the right side.

    As many runs on either side as there were, two-sided at 5 %, with the means and the pooled standard
    deviation that were found: the noncentral t distribution. NaN at the null dose and below two runs.
    """
    return [nan, *(_power(values[0], row, sign) for row in values[1:])]


def limit_of_detection(doses: Sequence[float], powers: Sequence[float]) -> float:
    """Lowest dose from which on every dose has power 0.8 or more; NaN if the top dose has not."""
    lod = nan
    for dose, found in zip(reversed(doses[1:]), reversed(powers[1:]), strict=True):
        if not found >= ENOUGH:
            break
        lod = float(dose)
    return lod


def null_band(values: Floats) -> tuple[float, float]:
    """95 % t interval for one more run. values: (seeds,). NaN below two runs."""
    kept = values[~np.isnan(values)]
    if kept.size < 2:
        return nan, nan
    half = student_t(1 - ALPHA, kept.size - 1) * kept.std(ddof=1) * sqrt(1 + 1 / kept.size)
    return float(kept.mean() - half), float(kept.mean() + half)


def recovery(
    doses: Sequence[float], estimates: Floats, lows: Floats, highs: Floats, lod: float
) -> Recovered | None:
    """How far estimates are from the planted doses, at doses from the limit of detection on.

    estimates, lows, highs: (doses, seeds) in units of the dose, limits NaN where a run has no interval.
    None if no such dose was estimated.
    """
    planted = np.asarray(doses, float)[:, None] + np.zeros_like(estimates)
    judged = ~np.isnan(estimates) & (planted >= lod) & (planted != 0)
    judged[0] = False
    if not judged.any():
        return None
    errors = np.where(judged, estimates - planted, nan)
    by_seed = np.nanmean((errors / np.where(planted == 0, nan, planted))[:, judged.any(axis=0)], axis=0)
    bounded = judged & ~np.isnan(lows) & ~np.isnan(highs)
    held = ((lows <= planted) & (planted <= highs))[bounded]
    return Recovered(
        bias=mean_interval(by_seed),
        rmse=sqrt(float(np.nanmean(errors**2))),
        coverage=float(held.mean()) if held.size else nan,
        n=int(judged.sum()),
    )


def clopper_pearson(rejected: int, n: int, *, level: float = 0.95) -> Interval:
    """Exact interval of a share of independent tests. Source: Clopper & Pearson 1934."""
    if n == 0:
        return Interval(value=nan, why="no tests")
    tail = (1 - level) / 2
    low = float(beta.ppf(tail, rejected, n - rejected + 1)) if rejected else 0.0
    high = float(beta.ppf(1 - tail, rejected + 1, n - rejected)) if rejected < n else 1.0
    return Interval(value=rejected / n, low=low, high=high, n=n, n_clusters=n, how="Clopper-Pearson")


def _power(null: Floats, dosed: Floats, sign: Sign) -> float:
    spread, df = _pooled(np.stack([null, dosed]))
    counts = [(~np.isnan(side)).sum() for side in (null, dosed)]
    if df < 2 or min(counts) < 1:
        return nan
    apart = sign * float(np.nanmean(dosed) - np.nanmean(null))
    error = spread * sqrt(1 / counts[0] + 1 / counts[1])
    if error <= 1e-12 * max(1.0, abs(apart)):
        return 1.0 if apart > 0 else 0.0
    bound = student_t(1 - ALPHA, df)
    found = float(nct.sf(bound, df, apart / error))
    return float(apart / error > bound) if isnan(found) else found  # far out the distribution has no digits


def _pooled(values: Floats) -> tuple[float, int]:
    """Standard deviation within doses and its degrees of freedom."""
    counts = (~np.isnan(values)).sum(axis=1)
    df = int(np.maximum(counts - 1, 0).sum())
    if df < 1:
        return nan, 0
    kept = values[counts > 0]
    squares = np.nansum((kept - np.nanmean(kept, axis=1, keepdims=True)) ** 2)
    return sqrt(float(squares) / df), df


def _cells(doses: Sequence[float], values: Floats) -> tuple[Floats, Floats]:
    x = np.asarray(doses, float)[:, None] + np.zeros_like(values)
    kept = ~np.isnan(values)
    return x[kept], values[kept]
