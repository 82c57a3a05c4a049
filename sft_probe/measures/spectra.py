"""How large a weight change is and over how many directions it spreads.

Sums are float64. Nothing here copies a large matrix: norms go over it piece by piece, whole spectra come from
its Gram matrix over the shorter side, and beyond a shorter side of 256 the largest singular value comes from
products with vectors in the matrix's own precision.
"""

from __future__ import annotations

from collections.abc import Callable
from math import ceil, pi

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh, eigh_tridiagonal

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


def inner_products(base: Matrix, delta: Matrix) -> tuple[float, float, float]:
    """(<base, base>, <base, delta>, <delta, delta>) in one pass, accumulated in float64. Any equal shape."""
    one, other = base.reshape(-1), delta.reshape(-1)
    sums = np.zeros(3)
    for at in range(0, one.size, PIECE):
        a, b = (flat[at : at + PIECE].astype(np.float64) for flat in (one, other))
        sums += a @ a, a @ b, b @ b
    return float(sums[0]), float(sums[1]), float(sums[2])


def singular_values(matrix: Matrix) -> Floats:
    """All singular values, largest first. matrix: (m, n).  Returns: (min(m, n),).

    Roots of the eigenvalues of the Gram matrix in float64: the error is about 1e-8 of the largest value, so
    energies are exact and values far below that are noise.  NaN where an entry is not finite.
    """
    squares = gram(matrix)
    if not np.isfinite(squares).all():
        return np.full(len(squares), np.nan)
    found: Floats = eigh(squares, eigvals_only=True, overwrite_a=True, check_finite=False)
    return np.sqrt(np.maximum(found[::-1], 0.0))


def singular_values_of_product(left: Matrix, right: Matrix) -> Floats:
    """`singular_values(left @ right)`, the r that can differ from 0, without making the product: by QR."""
    core = _triangle(left) @ _triangle(right.T).T
    return np.asarray(np.linalg.svd(core, compute_uv=False), dtype=np.float64)


def gram(matrix: Matrix) -> Floats:
    """A A' or A' A, whichever is smaller, in float64 without a float64 copy of A."""
    wide = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    side, step = wide.shape[0], max(1, PIECE // max(1, wide.shape[0]))
    total = np.zeros((side, side))
    for at in range(0, wide.shape[1], step):
        piece = wide[:, at : at + step].astype(np.float64)
        total += piece @ piece.T
    return total


def effective_rank(values: Floats) -> float:
    """exp of the entropy of p = values / sum: 1 if one singular value is there, n if n are equal.

    values: (k,) singular values, not below 0.  NaN if all are 0.  Source: Roy & Vetterli 2007, The Effective
    Rank: A Measure of Effective Dimensionality.
    """
    total = values.sum()
    if not total > 0:
        return float("nan")
    p = values[values > 0] / total
    return float(np.exp(-(p * np.log(p)).sum()))


def participation_ratio(values: Floats) -> float:
    """(sum of squares)^2 / sum of fourth powers of singular values: 1 to their number.  NaN if all are 0."""
    squares = values**2
    return float(squares.sum() ** 2 / (squares**2).sum()) if squares.sum() > 0 else float("nan")


def energy_rank(values: Floats, share: float = 0.9) -> float:
    """How many of the largest singular values hold a share of the sum of squares.  NaN if all are 0."""
    energy = np.cumsum(np.sort(values**2)[::-1])
    if not energy.size or not energy[-1] > 0:
        return float("nan")
    return float(np.searchsorted(energy, share * energy[-1] * (1 - 1e-12)) + 1)


def numerical_rank(values: Floats, shape: tuple[int, ...], largest: float) -> int:
    """How many singular values of a change stand above the rounding of float32 weights.

    values: of the change.  largest: largest singular value of the weights it is the change of, because a
    change is the difference of two such matrices. Threshold as in numpy's `matrix_rank`.
    """
    return int((values > max(shape) * float(np.finfo(np.float32).eps) * largest).sum())


def energy_of_noise(rows: int, columns: int, share: float = 0.9) -> int:
    """`energy_rank` that a matrix of independent Gaussian entries has: what structureless change looks like.

    By the law of Marchenko & Pastur 1967, whose error is below one direction from a side of about 10 on.
    """
    return ceil(float(np.interp(share, *_noise_energy(rows, columns))) * min(rows, columns))


def energy_of_noise_in(rows: int, columns: int, k: int) -> float:
    """Share of the sum of squares that the k largest singular values of such a matrix hold."""
    energy, directions = _noise_energy(rows, columns)
    return float(np.interp(min(1.0, k / min(rows, columns)), directions, energy))


def _noise_energy(rows: int, columns: int) -> tuple[Floats, Floats]:
    """Share of energy held, and share of directions that hold it, from the largest direction on."""
    ratio = min(rows, columns) / max(rows, columns)
    low, high = (1 - ratio**0.5) ** 2, (1 + ratio**0.5) ** 2
    angle = (np.arange(4000) + 0.5) * pi / 4000  # eigenvalues from high down to low, finer at both edges
    eigenvalue = (low + high) / 2 + (high - low) / 2 * np.cos(angle)
    weight = np.sin(angle) ** 2 / np.maximum(eigenvalue, 1e-12)  # density times the spacing of the angles
    directions, energy = np.cumsum(weight), np.cumsum(weight * eigenvalue)
    return energy / energy[-1], directions / directions[-1]


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
