import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sft_probe.measures import subspaces
from sft_probe.measures.subspaces import directions, directions_of_product, overlap, random_directions

RNG = np.random.default_rng(0)


@given(st.integers(0, 2**32 - 1), st.integers(1, 20), st.integers(1, 20))
def test_directions_are_those_of_an_svd(seed: int, rows: int, columns: int) -> None:
    matrix = np.random.default_rng(seed).normal(size=(rows, columns)).astype(np.float32)
    found = directions(matrix)
    rebuilt = (found.left * found.values) @ found.right.T
    assert np.allclose(rebuilt, matrix, atol=1e-4)
    assert np.allclose(found.left.T @ found.left, np.eye(found.values.size), atol=1e-4)
    assert (np.diff(found.values) <= 0).all()


def test_leading_directions_by_iteration(monkeypatch: pytest.MonkeyPatch) -> None:
    matrix = (RNG.normal(size=(80, 60)) * np.linspace(1, 0.1, 60)).astype(np.float32)
    exact = directions(matrix, 4)
    monkeypatch.setattr(subspaces, "DENSE_SIDE", 10)
    quick = directions(matrix, 4)
    assert quick.values == pytest.approx(exact.values, rel=1e-5)
    assert overlap(quick.left, exact.left) == pytest.approx(1, abs=1e-5)
    assert overlap(quick.right, exact.right) == pytest.approx(1, abs=1e-5)


def test_directions_of_a_product_need_no_dense_matrix() -> None:
    left, right = RNG.normal(size=(30, 3)).astype(np.float32), RNG.normal(size=(3, 50)).astype(np.float32)
    factored, dense = directions_of_product(left, right), directions(left @ right, 3)
    assert factored.values == pytest.approx(dense.values, rel=1e-5)
    assert overlap(factored.left, dense.left) == pytest.approx(1, abs=1e-6)
    assert directions(left @ right).values.size == 3, "what is below rounding is left out"


def test_overlap_and_its_null() -> None:
    axes = np.eye(64)
    assert overlap(axes[:, :4], axes[:, :4]) == 1
    assert overlap(axes[:, :4], axes[:, 4:8]) == 0
    assert overlap(axes[:, :2], axes[:, :8]) == 1, "the smaller lies in the larger"
    drawn = [overlap(random_directions(64, 4, RNG), random_directions(64, 8, RNG)) for _ in range(200)]
    assert np.mean(drawn) == pytest.approx(8 / 64, rel=0.1)
    assert np.isnan(overlap(axes[:, :0], axes[:, :4]))
