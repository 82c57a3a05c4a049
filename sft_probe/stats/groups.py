"""The worst of several groups, without the optimism of looking at one that was picked for being low."""

from __future__ import annotations

import numpy as np

from sft_probe.stats.intervals import Floats, Interval, Ints, share_interval


def worst_group_interval(
    values: Floats, groups: Ints, clusters: Ints | None = None, *, level: float = 0.95
) -> Interval:
    """Mean of the group with the lowest mean of values in [0, 1]; NaN values are left out.

    The lowest of several estimates lies below the lowest truth on average. The limits hold all the same:
    each group has its interval at 1 - (1 - level) / groups, so that with probability `level` all of them
    hold at once, and the worst truth lies between the lowest lower and the lowest upper limit (Bonferroni).
    `n` and `n_clusters` are those of the worst group.
    """
    present = ~np.isnan(values)
    codes = np.unique(groups[present])
    if not codes.size:
        return Interval(value=np.nan, why="no items")
    joint = 1 - (1 - level) / codes.size
    found = [
        share_interval(values[inside], None if clusters is None else clusters[inside], level=joint)
        for inside in (present & (groups == code) for code in codes)
    ]
    worst = min(found, key=lambda interval: interval.value)
    if why := next((interval.why for interval in found if interval.why), ""):
        return Interval(value=worst.value, n=worst.n, n_clusters=worst.n_clusters, why=f"a group has {why}")
    low, high = (min(getattr(interval, end) for interval in found) for end in ("low", "high"))
    return Interval(
        value=worst.value,
        low=low,
        high=high,
        se=worst.se,
        n=worst.n,
        n_clusters=worst.n_clusters,
        how=f"simultaneous over {codes.size} groups",
    )
