"""The smallest effect a study can find: from its design before a run, from its standard error after one."""

from __future__ import annotations

from math import inf, isfinite, sqrt

import numpy as np
from scipy.special import nctdtrinc, ndtri
from scipy.stats import binom

from sft_probe.stats.intervals import student_t


def detectable_effect(se: float, *, df: float = inf, alpha: float = 0.05, power: float = 0.8) -> float:
    """Smallest true effect found with this power by a two-sided test at `alpha`: 2.8 standard errors.

    df: degrees of freedom behind `se`; few of them ask for more (3.8 standard errors with 4, 16 with 1).
    Source: Miller 2024 (arXiv 2411.00640), power analysis; the noncentral t distribution for few df.
    """
    if not isfinite(df):
        return float(ndtri(1 - alpha / 2) + ndtri(power)) * se
    return float(nctdtrinc(df, 1 - power, student_t(1 - alpha, df))) * se


def planned_effect(
    items: float,
    *,
    churn: float = 0.1,
    clusters: float | None = None,
    correlation: float = 0.3,
    seeds: int = 1,
    seed_sd: float = 0.0,
    power: float = 0.8,
) -> float:
    """Smallest change of a share of right answers that a study will find, said before it runs.

    items: that are looked at before and after.  churn: share of them that will flip, either way.
    clusters: into which they fall (None: each its own).  correlation: of flips within a cluster.
    seed_sd: of the true change between training seeds; 0 asks about these seeds alone. Seeds share items,
    so their number helps against `seed_sd` only. NaN below two items or clusters, or for new seeds from one.
    The variance is churn (1 + (items per cluster - 1) correlation) / items + seed_sd^2 / seeds.
    Source: Miller 2024 (arXiv 2411.00640); Kish 1965 for the design effect.
    """
    groups = items if clusters is None else clusters
    if min(items, groups) < 2 or (seed_sd > 0 and seeds < 2):
        return float("nan")
    by_item = churn * (1 + (items / groups - 1) * correlation) / items
    by_seed = seed_sd**2 / seeds
    spread = by_item**2 / (groups - 1) + (by_seed**2 / (seeds - 1) if by_seed else 0.0)
    total = by_item + by_seed
    df = total**2 / spread if spread else inf
    return detectable_effect(sqrt(total), df=df if df < 200 else inf, power=power)


def mcnemar_power(items: int, gained: float, lost: float, *, alpha: float = 0.05) -> float:
    """Exact chance that McNemar's mid-p test finds a change, from the shares that will be gained and lost."""
    churn = gained + lost
    if not 0 < churn <= 1:
        return 0.0
    low, high = binom.ppf([1e-9, 1 - 1e-9], items, churn).astype(int)
    found = 0.0
    for flips in range(max(1, low), high + 1):
        counts = np.arange(flips + 1)
        fewer = np.minimum(counts, flips - counts)
        mid = 2 * binom.cdf(fewer, flips, 0.5) - binom.pmf(fewer, flips, 0.5)
        reject = binom.pmf(counts, flips, gained / churn)[mid <= alpha].sum()
        found += float(binom.pmf(flips, items, churn) * reject)
    return found
