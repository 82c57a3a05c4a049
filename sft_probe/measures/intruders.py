"""Intruder dimensions: leading singular vectors of a tuned matrix that are like none of its base.

The vectors are those of W_tuned, not of what was added, and the left ones of the matrix as it is stored.
Source: Shuttleworth et al. 2024 (arXiv 2410.21228), definition 3.1 and their find_intruder_dimensions.py.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from sft_probe.measures.spectra import Floats, Matrix, energy_rank
from sft_probe.measures.subspaces import Directions, random_directions


class Dimensions(NamedTuple):
    """The k leading left singular vectors of a tuned matrix, largest first, each array (k,).

    values: their singular values. likeness: largest |cosine| with any left singular vector of the base.
    outside: squared length outside the directions that hold 90 % of the base's energy.
    """

    values: Floats
    likeness: Floats
    outside: Floats

    def intruders(self, epsilon: float) -> int:
        """How many are less like any vector of the base than epsilon."""
        return int((self.likeness < epsilon).sum())

    @property
    def score(self) -> float:
        """Mean of 1 - likeness, weighted by singular values: 0 for the base itself, below 1."""
        return float(np.average(1 - self.likeness, weights=self.values))

    @property
    def residual(self) -> float:
        """Mean of `outside`, weighted by singular values."""
        return float(np.average(self.outside, weights=self.values))


def dimensions(base: Directions, tuned: Directions) -> Dimensions:
    """Compare the leading directions of a tuned matrix with all those of its base.

    A vector that lies in none of the base's directions (rank-deficient base) is like none of them.
    """
    cosines = np.abs(base.left.T @ tuned.left)
    energy = int(energy_rank(base.values))
    inside = (cosines[:energy] ** 2).sum(axis=0)
    return Dimensions(tuned.values, np.minimum(cosines.max(axis=0), 1.0), np.clip(1 - inside, 0.0, 1.0))


def gaussian_like(norm: float, shape: tuple[int, ...], rng: np.random.Generator) -> Matrix:
    """A change of independent Gaussian entries with a given Frobenius norm."""
    noise = rng.standard_normal(shape)
    return np.asarray(noise * (norm / np.linalg.norm(noise)), dtype=np.float32)


def rotated_like(values: Floats, shape: tuple[int, ...], rng: np.random.Generator) -> Matrix:
    """A change with given singular values whose directions are random on both sides."""
    left, right = (random_directions(side, values.size, rng) for side in shape)
    return np.asarray((left * values) @ right.T, dtype=np.float32)


def leading_intruder(base: Directions, tuned: Directions, epsilon: float) -> int | None:
    """Index of the intruder with the largest singular value among the leading directions, None if none."""
    found = np.flatnonzero(dimensions(base, tuned).likeness < epsilon)
    return int(found[0]) if found.size else None


def neighbour(base: Directions, tuned: Directions, epsilon: float, index: int) -> int | None:
    """Index of the direction that is no intruder and whose singular value is nearest to that of `index`."""
    known = np.flatnonzero(dimensions(base, tuned).likeness >= epsilon)
    if not known.size:
        return None
    return int(known[np.argmin(np.abs(tuned.values[known] - tuned.values[index]))])
