"""How large a weight change is and over how many directions it spreads. Dense or low-rank, in float64."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.linalg import svds

Matrix = NDArray[np.float32] | NDArray[np.float64]
Floats = NDArray[np.float64]

DENSE_SIDE = 1024  # up to this shorter side an exact eigenvalue decomposition is cheap


def squared_norm(weights: Matrix) -> float:
    """Sum of squares of all entries, accumulated in float64. Any shape."""
    return float(np.square(weights, dtype=np.float64).sum())


def stable_rank(matrix: Matrix) -> float:
    """||A||_F^2 / ||A||_2^2: 1 if one direction carries everything, min(m, n) if all carry the same.

    matrix: (m, n).  NaN if it is zero. Exact up to a shorter side of 1024, by Lanczos iteration beyond.
    Source: Rudelson & Vershynin 2007, Sampling from Large Matrices.
    """
    total = squared_norm(matrix)
    return total / _squared_spectral_norm(matrix.astype(np.float64)) if total > 0 else float("nan")


def stable_rank_of_product(left: Matrix, right: Matrix) -> float:
    """`stable_rank(left @ right)` without making the product. left: (m, r), right: (r, n), r small.

    With QR of left and of right', the r x r core R_left R_right' has the singular values of the product.
    """
    return stable_rank(_triangle(left) @ _triangle(right.T).T)


def _triangle(matrix: Matrix) -> Floats:
    """R of the reduced QR decomposition."""
    return np.asarray(np.linalg.qr(matrix.astype(np.float64), mode="r"))


def _squared_spectral_norm(matrix: Floats) -> float:
    if min(matrix.shape) > DENSE_SIDE:
        start = np.ones(min(matrix.shape))  # a fixed start keeps the result reproducible
        return float(svds(matrix, k=1, v0=start, return_singular_vectors=False)[0] ** 2)
    wide = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    return float(np.linalg.eigvalsh(wide @ wide.T)[-1])
