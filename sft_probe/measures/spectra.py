"""How large a weight change is and over how many directions it spreads.

Sums are float64. Nothing here copies a large matrix: norms go over it piece by piece, and beyond a shorter
side of 256 the largest singular value comes from products with vectors in the matrix's own precision.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh_tridiagonal

Matrix = NDArray[np.float32] | NDArray[np.float64]
Floats = NDArray[np.float64]

DENSE_SIDE = 256  # up to this shorter side an exact eigenvalue decomposition is as cheap as an iteration
PIECE = 2**18  # numbers that are squared at once
TOLERANCE = 1e-4  # of the Lanczos residual; the eigenvalue's relative error is about its square


def squared_norm(weights: Matrix) -> float:
    """Sum of squares of all entries, accumulated in float64. Any shape."""
    flat, total = weights.reshape(-1), 0.0
    for at in range(0, flat.size, PIECE):
        piece = flat[at : at + PIECE].astype(np.float64)
        total += float(piece @ piece)
    return total


def stable_rank(matrix: Matrix) -> float:
    """||A||_F^2 / ||A||_2^2: 1 if one direction carries everything, min(m, n) if all carry the same.

    matrix: (m, n).  NaN if it is zero or not finite. Exact up to a shorter side of 256, by Lanczos iteration
    beyond (relative error about 1e-6, the rounding of float32 products).
    Source: Rudelson & Vershynin 2007, Sampling from Large Matrices.
    """
    total = squared_norm(matrix)
    return total / _squared_spectral_norm(matrix) if 0 < total < np.inf else float("nan")


def stable_rank_of_product(left: Matrix, right: Matrix) -> float:
    """`stable_rank(left @ right)` without making the product. left: (m, r), right: (r, n), r small.

    With QR of left and of right', the r x r core R_left R_right' has the singular values of the product.
    """
    return stable_rank(_triangle(left) @ _triangle(right.T).T)


def _triangle(matrix: Matrix) -> Floats:
    """R of the reduced QR decomposition."""
    return np.asarray(np.linalg.qr(matrix.astype(np.float64), mode="r"))


def _squared_spectral_norm(matrix: Matrix) -> float:
    """Largest eigenvalue of A A'."""
    wide = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    side = wide.shape[0]
    if side <= DENSE_SIDE:
        wide = wide.astype(np.float64)
        return float(np.linalg.eigvalsh(wide @ wide.T)[-1])

    def gram(vector: Floats) -> Floats:
        product: Floats = (wide @ (wide.T @ vector.ravel().astype(matrix.dtype))).astype(np.float64)
        return product

    return _largest_eigenvalue(gram, side)


def _largest_eigenvalue(gram: Callable[[Floats], Floats], side: int) -> float:
    """Lanczos iteration with full reorthogonalisation, which stops at the first step that is good enough.

    ARPACK makes twenty products before it looks. gram: product of the matrix with a vector of length `side`.
    Source: Golub & Van Loan, Matrix Computations, 4th ed., section 10.1.
    """
    vector = np.random.default_rng(0).standard_normal(side)  # a fixed start keeps the result reproducible
    basis, diagonal, beside = [vector / np.linalg.norm(vector)], list[float](), list[float]()
    while True:
        image = gram(basis[-1])
        diagonal.append(float(basis[-1] @ image))
        known = np.stack(basis)
        for _ in range(2):  # once is not enough in the arithmetic of a computer
            image = image - known.T @ (known @ image)
        length = float(np.linalg.norm(image))
        values, vectors = eigh_tridiagonal(diagonal, beside)
        if length * abs(vectors[-1, -1]) <= TOLERANCE * values[-1] or len(basis) == side:
            return float(values[-1])
        beside.append(length)
        basis.append(image / length)
