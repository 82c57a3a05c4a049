"""How alike two sets of states of the same inputs are: rows are positions, columns are dimensions.

All in float64. Each statistic comes with its values when one group of rows is left out in turn, which
is what a jackknife needs and costs little more than the statistic itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class LeftOut(NamedTuple):
    """A statistic on all rows, and without each group of rows: (groups,)."""

    value: float
    without: Floats


def debiased_cka(x: Floats, y: Floats) -> float:
    """Linear CKA from unbiased HSIC: 1 for equal geometry, about 0 for unrelated states, can be negative.

    x: (n, p), y: (n, q).  NaN for n < 4 or if one side has no variance. Unchanged by rotation, by
    scaling of a side as a whole and by shifts; one massive dimension can dominate it (`zscore` first).
    Source: Kornblith et al. 2019; unbiased HSIC of Song et al. 2007. The biased estimator reaches 0.8 on
    unrelated data with n = 64, p = 256 and is not offered.
    """
    return float(_cka(x, y, ())[0])


def minibatch_cka(batches: Iterable[tuple[Floats, Floats]]) -> float:
    """`debiased_cka` from batches of rows that never meet: means of their HSIC, and the ratio of these.

    batches: (x, y), each (n, p) and (n, q) with n >= 4.  It estimates the same from fewer pairs of rows, so
    it varies more; `moments` is exact in as little memory. With the biased HSIC batches of 16 rows would
    give 0.90 where 0.62 is true.  Source: Nguyen, Raghu & Kornblith 2021, eq. 3.
    """
    sums = np.zeros(3)
    for x, y in batches:
        n, (left, right) = len(x), (_gram(x), _gram(y))
        pairs = ((left, right), (left, left), (right, right))
        sums += [_hsic_by_grams(*pair, ())[0] / (n * (n - 3)) for pair in pairs]
    with np.errstate(invalid="ignore", divide="ignore"):
        found = sums[0] / np.sqrt(sums[1] * sums[2])
    return float(found) if np.isfinite(found) else float("nan")


def cka_without_groups(x: Floats, y: Floats, groups: Ints) -> LeftOut:
    """`debiased_cka` of all rows and of the rows outside each group. groups: (n,) ids 0..g-1.

    Costs O(n p^2) in the space of dimensions if p < n, else O(n^2 p) on Gram matrices; both forms are
    exact and agree to rounding.
    """
    members = [np.flatnonzero(groups == group) for group in range(groups.max() + 1)]
    cka = _cka(x, y, members)
    return LeftOut(float(cka[0]), cka[1:])


def _cka(x: Floats, y: Floats, groups: Sequence[Ints]) -> Floats:
    """`debiased_cka` of all rows and without each group, given by the rows in it. Returns: (1 + groups,)."""
    by_features = max(x.shape[1], y.shape[1]) < len(x)
    prepare, form = (_with_norms, _hsic_by_features) if by_features else (_gram, _hsic_by_grams)
    left, right = prepare(x), prepare(y)
    kept = len(x) - np.array([0, *(len(rows) for rows in groups)])
    with np.errstate(invalid="ignore", divide="ignore"):
        cka: Floats = form(left, right, groups) / np.sqrt(
            form(left, left, groups) * form(right, right, groups)
        )
    cka[(kept < 4) | ~np.isfinite(cka)] = np.nan
    return cka


def zscore(x: Floats) -> Floats:
    """Each dimension with mean 0 and standard deviation 1; a constant one becomes 0. (n, p) -> (n, p)."""
    x = x - x.mean(axis=0)
    deviation = x.std(axis=0)
    scaled: Floats = np.divide(x, deviation, out=np.zeros_like(x), where=deviation != 0)
    return scaled


def drift_without_groups(tuned: Floats, base: Floats, groups: Ints) -> LeftOut:
    """Unaligned relative drift ||T - B||_F / ||B - mean of B||_F, of all rows and without each group.

    tuned, base: (n, p) states in the same basis, which models of one initialisation share.  0 where
    nothing moved; 1 means states moved as far as the base's states differ among themselves. NaN if the
    base's states are all alike. Rotations count as drift, unlike in CKA.
    """
    moved = ((tuned - base) ** 2).sum(axis=1)
    spread = ((base - base.mean(axis=0)) ** 2).sum(axis=1)
    count = groups.max() + 1
    moved_out = moved.sum() - np.concatenate(([0.0], np.bincount(groups, moved, count)))
    spread_out = spread.sum() - np.concatenate(([0.0], np.bincount(groups, spread, count)))
    spread_out[spread_out <= 0] = np.nan
    drift = np.sqrt(moved_out.clip(0) / spread_out)
    return LeftOut(float(drift[0]), drift[1:])


def _hsic_by_features(left: Floats, right: Floats, groups: Sequence[Ints]) -> Floats:
    """n (n - 3) HSIC_u of all rows and without each group. left, right: rows [1, x, |x|^2], centred.

    From the sum of their products, of which the part of a group is taken away.
    """
    total = left.T @ right
    without = (total - left[rows].T @ right[rows] for rows in groups)
    return np.array([_hsic_from_sums(total), *(_hsic_from_sums(sums) for sums in without)])


def _with_norms(x: Floats) -> Floats:
    """[1, x, |x|^2] of each centred row. (n, p) -> (n, p + 2)."""
    rows = np.ones((len(x), x.shape[1] + 2))
    centred = rows[:, 1:-1]
    np.subtract(x, x.mean(axis=0), out=centred)
    np.einsum("ij,ij->i", centred, centred, out=rows[:, -1])
    return rows


def _hsic_from_sums(sums: Floats) -> float:
    """||X'Y||_F^2 - n / (n - 2) sum(a b) + sum(a) sum(b) / ((n - 1)(n - 2)), rows centred within the set.

    a = |x_i|^2 of a centred row is linear in [1, x, |x|^2], so sum(a b) is a quadratic form of the sums.
    """
    n, x, y = sums[0, 0], sums[1:-1, 0], sums[0, 1:-1]
    a, b = (np.array([mean @ mean, *(-2 * mean), 1.0]) for mean in (x / n, y / n))
    cross = sums[1:-1, 1:-1] - np.outer(x, y) / n
    product = np.vdot(cross, cross) - n / (n - 2) * (a @ sums @ b)
    return float(product + (a @ sums[:, 0]) * (sums[0] @ b) / ((n - 1) * (n - 2)))


def _hsic_by_grams(gram_x: Floats, gram_y: Floats, groups: Sequence[Ints]) -> Floats:
    """The same from K = XX', L = YY' with empty diagonals, k = K1, l = L1 within each kept set:

    sum(K * L) + sum(k) sum(l) / ((n - 1)(n - 2)) - 2 k.l / (n - 2).
    """
    weights = np.ones((len(gram_x), 1 + len(groups)))
    for column, rows in enumerate(groups, start=1):
        weights[rows, column] = 0.0
    n = weights.sum(axis=0)
    in_x, in_y = (gram_x @ weights) * weights, (gram_y @ weights) * weights
    overlap: Floats = ((gram_x * gram_y) @ weights * weights).sum(axis=0)
    totals = in_x.sum(axis=0) * in_y.sum(axis=0)
    overlap += totals / ((n - 1) * (n - 2)) - 2 * (in_x * in_y).sum(axis=0) / (n - 2)
    return overlap


def _gram(x: Floats) -> Floats:
    x = x - x.mean(axis=0)
    gram: Floats = x @ x.T
    np.fill_diagonal(gram, 0.0)
    return gram
