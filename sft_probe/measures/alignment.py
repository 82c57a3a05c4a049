"""How far two sets of states of the same inputs differ once they may be turned, recombined or only ranked.

Rows are positions, columns are dimensions; all in float64. As in `geometry`, most statistics come with their
values when one group of rows is left out in turn.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.linalg import cholesky, solve_triangular
from scipy.stats import rankdata

from sft_probe.measures.geometry import Floats, Ints, LeftOut


class Canonical(NamedTuple):
    """Means of the canonical correlations of x with y, in [0, 1]."""

    svcca: LeftOut
    pwcca: LeftOut


def procrustes_angle(x: Floats, y: Floats) -> float:
    """Angular distance of two centred shapes after the best rotation, in radians from 0 to pi / 2.

    arccos(||X'Y||_* / (||X||_F ||Y||_F)), a metric: 0 if one is the other turned, scaled and shifted.  x: (n,
    p), y: (n, q); the narrower one counts as padded with zeros. NaN if a side does not vary. With few rows
    per dimension the nuclear norm is too large, so unrelated states look alike: hold it against permuted
    rows. Source: Williams et al. 2021, Generalized Shape Metrics on Neural Representations.
    """
    x, y = (side - side.mean(axis=0) for side in (x, y))
    size = np.linalg.norm(x) * np.linalg.norm(y)
    if not (np.isfinite(size) and size > 0):
        return float("nan")
    # near 1 arccos keeps half of the digits: equal states come out at 1e-7
    return float(np.arccos(min(1.0, float(np.linalg.norm(x.T @ y, "nuc")) / float(size))))


def canonical(x: Floats, y: Floats, groups: Ints, variance: float = 0.99) -> Canonical:
    """SVCCA and PWCCA of x with y, each first cut to the principal directions that hold `variance`.

    x: (n, p), y: (n, q).  groups: (n,) ids.  SVCCA is the mean correlation (Raghu et al. 2017); PWCCA weights
    the correlation i by sum_j |<h_i, x_j>|, h_i its variate on the side of x and x_j a dimension (Morcos,
    Raghu & Bengio 2018), so it is not symmetric. The directions kept are taken as fixed when a group is left
    out. Needs many more rows than dimensions: unrelated normal data give 0.43 with n = 1024, p = 256.
    """
    (u, x_parts), (v, _) = (_principal(side, variance) for side in (x, y))
    if not (u.size and v.size):
        undefined = LeftOut(float("nan"), np.full(groups.max() + 1, np.nan))
        return Canonical(undefined, undefined)
    without = (groups != group for group in range(groups.max() + 1))
    subsets = [np.ones(len(x), dtype=bool), *(kept for kept in without if kept.any())]
    means = np.array([_means_of_correlations(u[kept], v[kept], x_parts) for kept in subsets])
    svcca, pwcca = (LeftOut(float(column[0]), column[1:]) for column in means.T)
    return Canonical(svcca, pwcca)


def rsa(x: Floats, y: Floats) -> float:
    """Spearman correlation of two representational dissimilarity matrices, 1 - Pearson between rows.

    x: (n, p), y: (n, q).  Pairs share rows, so intervals and tests resample rows, never pairs. NaN for fewer
    than 3 rows, or where all dissimilarities are alike.
    Source: Kriegeskorte, Mur & Bandettini 2008, Representational Similarity Analysis.
    """
    if len(x) < 3:
        return float("nan")
    pairs = np.triu_indices(len(x), 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        left, right = (rankdata(np.asarray(np.corrcoef(side))[pairs]) for side in (x, y))
        return float(np.corrcoef(left, right)[0, 1])


def anisotropy(x: Floats) -> float:
    """Mean cosine over pairs of different rows, from -1 / (n - 1) to 1.

    (|sum u|^2 - n) / (n (n - 1)) with u the rows at unit length, in one pass. 0 for directions without
    preference. A few massive dimensions bring it near 1: see `without_massive`.  Source: Ethayarajh 2019, How
    Contextual are Contextualized Word Representations?
    """
    n, lengths = len(x), np.linalg.norm(x, axis=1)
    if n < 2 or not (lengths > 0).all():
        return float("nan")
    total = (x / lengths[:, None]).sum(axis=0)
    return float((total @ total - n) / (n * (n - 1)))


def without_massive(x: Floats, like: Floats, dimensions: int = 3) -> Floats:
    """x without the dimensions in which the rows of `like` have the largest mean square."""
    order = np.argsort(-(like**2).mean(axis=0), kind="stable")
    return x[:, np.sort(order[dimensions:])]


def principal_directions(x: Floats, k: int) -> Floats:
    """The k directions of largest variance, orthonormal columns. (n, p) -> (p, min(k, p))."""
    centred = x - x.mean(axis=0)
    _, vectors = np.linalg.eigh(centred.T @ centred)
    found: Floats = vectors[:, ::-1][:, :k]
    return found


def beyond_chance(overlap: float, k: int, dimensions: int) -> float:
    """An overlap of k-dimensional subspaces, rescaled: 0 as of random ones, 1 as of one and the same.

    (overlap - k / d) / (1 - k / d), with k / d what random subspaces share on average. NaN if k is all of d.
    """
    return (overlap - k / dimensions) / (1 - k / dimensions) if k < dimensions else float("nan")


def leaving_out(statistic: Callable[[Ints], float], groups: Ints) -> LeftOut:
    """A statistic of the rows with given numbers, on all rows and without each group.  groups: (n,) ids."""
    rows = np.arange(len(groups))
    without = [statistic(kept) for group in range(groups.max() + 1) if (kept := rows[groups != group]).size]
    return LeftOut(statistic(rows), np.array(without))


def _principal(x: Floats, variance: float) -> tuple[Floats, Floats]:
    """Principal scores as orthonormal columns (n, k), and what each holds of every dimension (k, p)."""
    centred = x - x.mean(axis=0)
    u, size, directions = np.linalg.svd(centred, full_matrices=False)
    if not np.isfinite(size).all() or size[0] == 0:
        return np.empty((len(x), 0)), np.empty((0, x.shape[1]))
    share = np.cumsum(size**2) / (size**2).sum()
    rank = int((size > size[0] * max(x.shape) * np.finfo(float).eps).sum())
    k = min(rank, int(np.searchsorted(share, variance * (1 - 1e-12))) + 1)
    return u[:, :k], size[:k, None] * directions[:k]


def _means_of_correlations(u: Floats, v: Floats, x_parts: Floats) -> tuple[float, float]:
    """Plain and weighted mean of the canonical correlations of some rows.

    With u centred and R'R = u'u, variates are u R^-1 w; <h_i, x_j> = w_i' R'^-1 u'u x_parts_j = w_i' R
    x_parts_j.
    """
    u, v = u - u.mean(axis=0), v - v.mean(axis=0)
    try:
        root_u, root_v = cholesky(u.T @ u), cholesky(v.T @ v)
    except np.linalg.LinAlgError:  # fewer rows than directions
        return float("nan"), float("nan")
    cross = solve_triangular(root_u, u.T @ v, trans="T")
    left, rho, _ = np.linalg.svd(solve_triangular(root_v, cross.T, trans="T").T, full_matrices=False)
    rho = rho.clip(0, 1)
    weights = np.abs(left.T @ root_u @ x_parts).sum(axis=1)
    return float(rho.mean()), float(weights @ rho / weights.sum())
