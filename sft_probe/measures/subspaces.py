"""Singular directions of a matrix, and how far two sets of directions span the same space."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.linalg import eigh, qr
from scipy.sparse.linalg import svds

from sft_probe.measures.spectra import Floats, Matrix, gram

DENSE_SIDE = 512  # up to this shorter side an exact decomposition is as cheap as an iteration
RANK_CUT = 1e-7  # relative to the largest singular value; below it the Gram matrix holds only rounding


class Directions(NamedTuple):
    """Singular triplets, largest first. left: (m, k) and right: (n, k) with orthonormal columns."""

    left: Floats
    values: Floats  # (k,)
    right: Floats


def directions(matrix: Matrix, k: int | None = None) -> Directions:
    """The k leading singular triplets of a matrix, or all that are above rounding. matrix: (m, n), finite.

    All, or up to a shorter side of 512: by the Gram matrix in float64, exact to about 1e-8 of the largest
    value. Else by Lanczos iteration from a fixed start, in the matrix's own precision (relative error of a
    value about 1e-6).
    """
    side = min(matrix.shape)
    if k is not None and side > max(DENSE_SIDE, 4 * k):
        start = np.random.default_rng(0).standard_normal(side).astype(matrix.dtype)
        left, values, right = svds(matrix, k=k, v0=start, tol=1e-6)
        order = np.argsort(values)[::-1]
        return Directions(*(x.astype(np.float64) for x in (left[:, order], values[order], right[order].T)))
    first = 0 if k is None else max(0, side - k)
    squares, vectors = eigh(gram(matrix), subset_by_index=(first, side - 1), check_finite=False)
    values, vectors = np.sqrt(np.maximum(squares[::-1], 0.0)), vectors[:, ::-1]
    kept = values > RANK_CUT * values[0]
    values, vectors = values[kept], vectors[:, kept]
    if matrix.shape[0] <= matrix.shape[1]:
        return Directions(vectors, values, (matrix.T @ vectors) / values)
    return Directions((matrix @ vectors) / values, values, vectors)


def directions_of_product(left: Matrix, right: Matrix) -> Directions:
    """`directions(left @ right)` without making the product. left: (m, r), right: (r, n), r small."""
    q_left, r_left = qr(left.astype(np.float64), mode="economic")
    q_right, r_right = qr(right.T.astype(np.float64), mode="economic")
    u, values, v = np.linalg.svd(r_left @ r_right.T, full_matrices=False)
    kept = values > RANK_CUT * values[0]
    return Directions(q_left @ u[:, kept], values[kept], q_right @ v.T[:, kept])


def overlap(one: Floats, other: Floats) -> float:
    """||U' V||_F^2 / min(k, k'): 1 if the smaller space lies in the larger, 0 if they are orthogonal.

    one: (d, k), other: (d, k') with orthonormal columns. Spaces drawn at random have max(k, k') / d.
    Source: Hu et al. 2021 (arXiv 2106.09685), section 7.2.  NaN if one is empty.
    """
    smaller = min(one.shape[1], other.shape[1])
    return float(((one.T @ other) ** 2).sum() / smaller) if smaller else float("nan")


def random_directions(rows: int, k: int, rng: np.random.Generator) -> Floats:
    """k orthonormal columns in as many dimensions as rows, uniformly at random. (rows, k)"""
    q, r = qr(rng.standard_normal((rows, k)), mode="economic")
    return np.asarray(q * np.sign(np.diagonal(r)))
