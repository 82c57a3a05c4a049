import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sft_probe.measures import spectra
from sft_probe.measures.spectra import (
    effective_rank,
    energy_of_noise,
    energy_of_noise_in,
    energy_rank,
    inner_products,
    numerical_rank,
    participation_ratio,
    singular_values,
    singular_values_of_product,
    squared_norm,
    stable_rank,
    stable_rank_of_product,
)


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


@given(st.integers(0, 2**32 - 1), st.integers(1, 24), st.integers(1, 24), st.integers(1, 24))
def test_singular_values_are_those_of_an_svd(seed: int, rows: int, columns: int, rank: int) -> None:
    rng = np.random.default_rng(seed)
    left, right = (rng.normal(size=s).astype(np.float32) for s in ((rows, rank), (rank, columns)))
    product = left @ right
    exact = np.linalg.svd(product.astype(float), compute_uv=False)
    assert np.allclose(singular_values(product), exact, atol=1e-7 * exact[0])
    factored = singular_values_of_product(left, right)
    n = min(factored.size, exact.size)
    assert np.allclose(factored[:n], exact[:n], atol=1e-5 * exact[0])


def test_known_spectra() -> None:
    flat, single = np.ones(8), np.array([3.0, 0, 0])
    assert [f(flat) for f in (effective_rank, participation_ratio, energy_rank)] == pytest.approx([8, 8, 8])
    assert [f(single) for f in (effective_rank, participation_ratio, energy_rank)] == pytest.approx([1, 1, 1])
    assert effective_rank(np.array([3.0, 1.0])) == pytest.approx(4 / 3**0.75)  # entropy of (3/4, 1/4)
    assert energy_rank(np.array([3.0, 1.0])) == 1, "9 of 10 is 90 %"
    assert energy_rank(np.array([3.0, 1.0]), 0.91) == 2
    assert all(np.isnan(f(np.zeros(3))) for f in (effective_rank, participation_ratio, energy_rank))
    assert np.isnan(singular_values(np.full((3, 4), np.inf, np.float32))).all()


@given(st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=30))
def test_ranks_are_ordered(values: list[float]) -> None:
    spectrum = np.sort(np.array(values))[::-1]
    stable = (spectrum**2).sum() / spectrum[0] ** 2
    assert stable <= participation_ratio(spectrum) * (1 + 1e-9)
    assert participation_ratio(spectrum) <= effective_rank(spectrum) * (1 + 1e-9)
    assert effective_rank(spectrum) <= len(values) * (1 + 1e-9)


@pytest.mark.parametrize("shape", [(192, 192), (192, 512), (512, 64)])
def test_noise_follows_marchenko_and_pastur(shape: tuple[int, int]) -> None:
    values = singular_values(np.random.default_rng(0).normal(size=shape).astype(np.float32))
    assert energy_rank(values) == pytest.approx(energy_of_noise(*shape), abs=2)
    energy = np.cumsum(values**2) / (values**2).sum()
    for k in (1, 8, 32):
        assert energy_of_noise_in(*shape, k) == pytest.approx(energy[k - 1], rel=0.06)


def test_rank_is_counted_above_the_rounding_of_the_weights() -> None:
    rng = np.random.default_rng(0)
    base = rng.normal(size=(40, 60)).astype(np.float32)
    change = (0.01 * rng.normal(size=(40, 3)) @ rng.normal(size=(3, 60))).astype(np.float32)
    left_over = (base + change) - base  # what is left of it after it was merged in float32
    largest = float(singular_values(base)[0])
    assert numerical_rank(singular_values(left_over), base.shape, largest) == 3


def test_inner_products_in_one_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spectra, "PIECE", 7)
    a, b = np.arange(12.0).reshape(3, 4), np.ones((3, 4))
    assert inner_products(a, b) == (506.0, 66.0, 12.0)
