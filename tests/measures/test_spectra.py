import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sft_probe.measures import spectra
from sft_probe.measures.spectra import squared_norm, stable_rank, stable_rank_of_product


@given(st.integers(0, 2**32 - 1), st.integers(1, 20), st.integers(1, 20))
def test_stable_rank_by_singular_values(seed: int, rows: int, columns: int) -> None:
    matrix = np.random.default_rng(seed).normal(size=(rows, columns)).astype(np.float32)
    singular = np.linalg.svd(matrix.astype(float), compute_uv=False)
    value = stable_rank(matrix)
    assert value == pytest.approx((singular**2).sum() / singular[0] ** 2)
    assert 1 - 1e-9 <= value <= min(rows, columns) + 1e-9


def test_extremes() -> None:
    assert stable_rank(np.eye(7)) == pytest.approx(7)
    assert stable_rank(np.outer(np.arange(1, 5), np.arange(1, 9)).astype(float)) == pytest.approx(1)
    assert np.isnan(stable_rank(np.zeros((3, 4))))


@given(st.integers(0, 2**32 - 1), st.integers(1, 6))
def test_product_of_factors_needs_no_dense_matrix(seed: int, rank: int) -> None:
    rng = np.random.default_rng(seed)
    left, right = rng.normal(size=(30, rank)), rng.normal(size=(rank, 17))
    value = stable_rank_of_product(left.astype(np.float32), right.astype(np.float32))
    assert value == pytest.approx(stable_rank(left @ right), rel=1e-5)
    assert value <= rank + 1e-9


def test_a_fresh_adapter_has_no_rank() -> None:
    assert np.isnan(stable_rank_of_product(np.zeros((8, 2)), np.ones((2, 5))))


@pytest.mark.parametrize("rank", [1, 3, 60])
def test_large_matrices_by_lanczos(rank: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    matrix = (rng.normal(size=(60, rank)) @ rng.normal(size=(rank, 90))).astype(np.float32)
    exact = stable_rank(matrix)
    monkeypatch.setattr(spectra, "DENSE_SIDE", 10)
    assert stable_rank(matrix) == pytest.approx(exact, rel=1e-6)
    assert stable_rank(matrix) == stable_rank(matrix)


@pytest.mark.parametrize("value", [0.0, np.inf, np.nan])
def test_no_rank_without_a_finite_norm(value: float) -> None:
    assert np.isnan(stable_rank(np.full((300, 400), value)))


def test_squared_norm_accumulates_in_float64() -> None:
    assert squared_norm(np.full(10_000_001, 1e-4, dtype=np.float32)) == pytest.approx(0.10000001, rel=1e-6)
