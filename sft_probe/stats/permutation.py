"""Tests that rest on exchange alone: signs of paired differences, and who belongs to which group."""

from __future__ import annotations

import numpy as np
from scipy.stats import permutation_test

from sft_probe.stats.families import cluster_sums
from sft_probe.stats.intervals import Floats, Ints

RESAMPLES = 9999
BATCH = 1000  # resamples in memory at once


def sign_test(
    after: Floats,
    before: Floats,
    rng: np.random.Generator,
    clusters: Ints | None = None,
    *,
    resamples: int = RESAMPLES,
) -> float:
    """Two-sided p-value that `after` and `before` could be exchanged, cluster by cluster.

    All (n,); NaN pairs are left out. Every sign pattern is looked at if there are no more than `resamples`.
    The smallest p-value of G clusters is 2^(1 - G): five clusters can never reach 5 %. NaN without items.
    """
    differences = np.asarray(after, float) - np.asarray(before, float)
    present = ~np.isnan(differences)
    if not present.any():
        return float("nan")
    kept = None if clusters is None else np.asarray(clusters)[present]
    sums = cluster_sums(differences[present, None], kept)[:, 0]
    if np.count_nonzero(sums) < 2:
        return 1.0
    found = permutation_test(
        (sums[sums != 0],),
        lambda x, axis: x.sum(axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=resamples,
        batch=BATCH,
        rng=rng,
    )
    return float(found.pvalue)


def label_test(
    a: Floats,
    b: Floats,
    rng: np.random.Generator,
    clusters_a: Ints | None = None,
    clusters_b: Ints | None = None,
    *,
    resamples: int = RESAMPLES,
) -> float:
    """Two-sided p-value that two groups of items have one distribution, from the difference of their means.

    a: (m,), b: (n,), NaN left out; whole clusters change sides, and none spans both. NaN if either has fewer
    than two.
    """
    groups = [_sums_and_sizes(values, codes) for values, codes in ((a, clusters_a), (b, clusters_b))]
    if min(len(group) for group in groups) < 2:
        return float("nan")
    table = np.concatenate(groups)

    def difference(one: Ints, two: Ints, axis: int) -> Floats:  # scipy calls it with axis -1
        left, right = (table[group].sum(axis=axis - 1) for group in (one, two))
        apart: Floats = left[..., 0] / left[..., 1] - right[..., 0] / right[..., 1]
        return apart

    border = len(groups[0])
    found = permutation_test(
        (np.arange(border), np.arange(border, len(table))),
        difference,
        permutation_type="independent",
        vectorized=True,
        n_resamples=resamples,
        batch=BATCH,
        rng=rng,
    )
    return float(found.pvalue)


def _sums_and_sizes(values: Floats, clusters: Ints | None) -> Floats:
    """(clusters, 2): what each cluster adds to the sum and to the count."""
    values = np.asarray(values, dtype=np.float64)
    present = ~np.isnan(values)
    kept = None if clusters is None else np.asarray(clusters)[present]
    pairs = np.stack([values[present], np.ones(int(present.sum()))], axis=1)
    return cluster_sums(pairs, kept)
