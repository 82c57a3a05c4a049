"""Intruder dimensions, against the authors' own program and the artefacts it is known for."""

import numpy as np
import pytest

from sft_probe.measures.intruders import (
    dimensions,
    gaussian_like,
    leading_intruder,
    neighbour,
    rotated_like,
)
from sft_probe.measures.spectra import singular_values
from sft_probe.measures.subspaces import directions, random_directions

RNG = np.random.default_rng(0)
SIDE = 96


def published(base: np.ndarray, tuned: np.ndarray, threshold: float, k: int = 10) -> int:
    """find_intruder_dimensions.py of github.com/reeceshuttle/intruder-dimensions, its lines in numpy."""
    u_base = np.linalg.svd(base.astype(np.float32), full_matrices=False)[0]
    u_tuned = np.linalg.svd(tuned.astype(np.float32), full_matrices=False)[0]
    largest = np.abs(np.einsum("ji,jk->ik", u_tuned, u_base)).max(axis=1)
    return int((largest[:k] < threshold).sum())


def power_law(rows: int, columns: int, exponent: float = 1.0) -> np.ndarray:
    """A matrix with singular values 1 / i^exponent and random directions."""
    side = min(rows, columns)
    values = np.arange(1, side + 1) ** -exponent
    left, right = random_directions(rows, side, RNG), random_directions(columns, side, RNG)
    return ((left * values) @ right.T).astype(np.float32)


@pytest.mark.parametrize("shape", [(96, 96), (64, 160), (160, 64)])
@pytest.mark.parametrize("size", [0.0, 0.2, 1.0, 4.0])
def test_counts_are_those_of_the_published_program(shape: tuple[int, int], size: float) -> None:
    base = power_law(*shape)
    change = gaussian_like(size * np.linalg.norm(base), shape, RNG)
    change += size * np.outer(*(random_directions(side, 1, RNG)[:, 0] for side in shape)).astype(np.float32)
    found = dimensions(directions(base), directions(base + change, 10))
    for threshold in (0.3, 0.5, 0.7, 0.9):
        assert found.intruders(threshold) == published(base, base + change, threshold)


def test_a_planted_direction_is_an_intruder_and_the_base_has_none() -> None:
    base = power_law(SIDE, SIDE)
    known = directions(base)
    assert dimensions(known, directions(base, 10)).intruders(0.9) == 0
    assert dimensions(known, directions(base, 10)).score == pytest.approx(0, abs=1e-6)
    planted = 0.8 * np.outer(*(random_directions(SIDE, 1, RNG)[:, 0] for _ in range(2)))
    tuned = directions(base + planted.astype(np.float32), 10)
    found = dimensions(known, tuned)
    assert found.intruders(0.5) == 1
    assert leading_intruder(known, tuned, 0.5) == 1, "between the values 1 and 1/2 of the base"
    assert neighbour(known, tuned, 0.5, 1) in (0, 2)
    assert leading_intruder(known, directions(base, 10), 0.5) is None


def test_noise_makes_intruders_on_a_flat_spectrum_only() -> None:
    """science: dense noise of 30 % on a matrix near its initialisation poses as intruders."""
    flat = RNG.normal(size=(SIDE, SIDE)).astype(np.float32)
    steep = power_law(SIDE, SIDE)
    counts = {
        name: dimensions(
            directions(base),
            directions(base + gaussian_like(0.3 * np.linalg.norm(base), base.shape, RNG), 10),
        ).intruders(0.8)
        for name, base in (("flat", flat), ("steep", steep))
    }
    assert counts["flat"] >= 3
    assert counts["flat"] > counts["steep"]


def test_random_changes_have_the_size_they_should() -> None:
    values = np.array([3.0, 1.0, 0.5])
    assert singular_values(rotated_like(values, (20, 30), RNG))[:4] == pytest.approx([3, 1, 0.5, 0], abs=1e-5)
    assert np.linalg.norm(gaussian_like(2.5, (20, 30), RNG)) == pytest.approx(2.5)


def test_residual_counts_what_lies_outside_the_leading_space() -> None:
    base = np.diag(np.array([10, 9, 8, 0.01, 0.01], dtype=np.float32))
    moved = base.copy()
    moved[4, 4] = 20
    found = dimensions(directions(base), directions(moved, 2))
    assert found.outside == pytest.approx([1, 0], abs=1e-6)
    assert found.residual == pytest.approx(20 / 30)
