"""How alike two sets of states of the same inputs are: rows are positions, columns are dimensions.

All in float64. Each statistic comes with its values when one group of rows is left out in turn, which
is what a jackknife needs and costs little more than the statistic itself.
"""

from __future__ import annotations

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
    return cka_without_groups(x, y, np.zeros(len(x), dtype=np.int64)).value


def cka_without_groups(x: Floats, y: Floats, groups: Ints) -> LeftOut:
    """`debiased_cka` of all rows and of the rows outside each group. groups: (n,) ids 0..g-1.

    Costs O(n p^2) in the space of dimensions if p < n, else O(n^2 p) on Gram matrices; both forms are
    exact and agree to rounding.
    """
    x, y = x - x.mean(axis=0), y - y.mean(axis=0)
    kept = np.not_equal.outer(groups, np.arange(-1, groups.max() + 1))  # the first column keeps all rows
    form = _hsic_by_features if max(x.shape[1], y.shape[1]) < len(x) else _hsic_by_grams
    with np.errstate(invalid="ignore", divide="ignore"):
        cka = form(x, y, kept) / np.sqrt(form(x, x, kept) * form(y, y, kept))
    cka[(kept.sum(axis=0) < 4) | ~np.isfinite(cka)] = np.nan
    return LeftOut(float(cka[0]), cka[1:])


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


def _hsic_by_features(x: Floats, y: Floats, kept: NDArray[np.bool_]) -> Floats:
    """n (n - 3) HSIC_u of each kept set of rows. x: (n, p), y: (n, q), centred over all rows; kept: (n, k).

    ||X'Y||_F^2 - n / (n - 2) sum(a b) + sum(a) sum(b) / ((n - 1)(n - 2)), with a = |x_i|^2, b = |y_i|^2 of
    rows centred within the set.
    """
    n = kept.sum(axis=0)
    mean_x, mean_y = (kept.T @ x) / n[:, None], (kept.T @ y) / n[:, None]
    a, b = _squared_norms(x, mean_x) * kept, _squared_norms(y, mean_y) * kept
    product, norms = x.T @ y, np.empty(n.size)
    for k, left_out in enumerate(~kept.T):
        removed_x, removed_y = np.vstack((x[left_out], n[k] * mean_x[k])), np.vstack((y[left_out], mean_y[k]))
        part = product - removed_x.T @ removed_y
        norms[k] = np.vdot(part, part)
    norms -= n / (n - 2) * (a * b).sum(axis=0)
    norms += a.sum(axis=0) * b.sum(axis=0) / ((n - 1) * (n - 2))
    return norms


def _squared_norms(x: Floats, means: Floats) -> Floats:
    """|x_i - mean_k|^2 for every row and every set. (n, p), (k, p) -> (n, k)."""
    norms: Floats = (x**2).sum(axis=1)[:, None] - 2 * x @ means.T + (means**2).sum(axis=1)
    return norms


def _hsic_by_grams(x: Floats, y: Floats, kept: NDArray[np.bool_]) -> Floats:
    """The same from K = XX', L = YY' with empty diagonals, k = K1, l = L1 within each kept set:

    sum(K * L) + sum(k) sum(l) / ((n - 1)(n - 2)) - 2 k.l / (n - 2).
    """
    n, weights = kept.sum(axis=0), kept.astype(np.float64)
    gram_x, gram_y = _gram(x), _gram(y)
    in_x, in_y = (gram_x @ weights) * weights, (gram_y @ weights) * weights
    overlap: Floats = ((gram_x * gram_y) @ weights * weights).sum(axis=0)
    totals = in_x.sum(axis=0) * in_y.sum(axis=0)
    overlap += totals / ((n - 1) * (n - 2)) - 2 * (in_x * in_y).sum(axis=0) / (n - 2)
    return overlap


def _gram(x: Floats) -> Floats:
    gram: Floats = x @ x.T
    np.fill_diagonal(gram, 0.0)
    return gram
