"""Intervals for the distance of two distributions."""

from __future__ import annotations

from math import log, nan, sqrt

import numpy as np
from scipy.stats import ks_2samp

from sft_probe.stats.intervals import Floats, Interval, Ints


def ks_interval(
    one: Floats, other: Floats, clusters: Ints | None = None, *, given: bool = True, level: float = 0.95
) -> Interval:
    """Kolmogorov-Smirnov distance of two samples, in [0, 1], limits from bands around their distributions.

    one: (n,).  other: (m,), taken as it stands if `given`, else as drawn along with `one`.  clusters: (n,)
    ids of `one`; whole clusters count as one draw.  A band of Dvoretzky, Kiefer & Wolfowitz, constant
    of Massart 1990, holds the whole distribution, so the limits hold wherever the largest difference lies. A
    percentile bootstrap does not do: for equal distributions it never covered the distance 0.
    """
    if not one.size or not other.size:
        return Interval(value=nan, n=one.size, why="one of the samples is empty")
    value = float(ks_2samp(one, other, method="asymp").statistic)
    draws = one.size if clusters is None else np.unique(clusters).size
    band = sqrt(log(2 / (1 - level)) / (2 * draws)) * (1 if given else 2)
    return Interval(
        value=value,
        low=max(0.0, value - band),
        high=min(1.0, value + band),
        n=one.size,
        n_clusters=draws,
        how=f"Dvoretzky-Kiefer-Wolfowitz band over {draws} clusters",
    )
