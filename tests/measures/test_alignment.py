import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sft_probe.measures.alignment import (
    anisotropy,
    beyond_chance,
    canonical,
    leaving_out,
    principal_directions,
    procrustes_angle,
    rsa,
    without_massive,
)

CASES = json.loads((Path(__file__).parent.parent / "golden" / "alignment.json").read_text())


def rotation(width: int, seed: int = 0) -> np.ndarray:
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(width, width)))[0]


@pytest.mark.parametrize("case", CASES)
def test_reference_values(case: dict[str, object]) -> None:
    """netrep and google/svcca agree to 1e-6, slow loops by definition to 1e-9."""
    x, y = np.array(case["x"]), np.array(case["y"])
    found = canonical(x, y, np.zeros(len(x), dtype=int), variance=1.0)
    assert procrustes_angle(x, y) == pytest.approx(case["angle"], abs=1e-6)
    assert found.svcca.value == pytest.approx(case["cca"], abs=1e-6)
    assert found.pwcca.value == pytest.approx(case["pwcca"], abs=1e-9)
    assert rsa(x, y) == pytest.approx(case["rsa"], abs=1e-9)
    assert anisotropy(x) == pytest.approx(case["anisotropy"], abs=1e-9)


@st.composite
def shapes(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    rows, width = draw(st.integers(6, 40)), draw(st.integers(2, 8))
    return tuple(rng.normal(size=(3, rows, width)))


@given(shapes())
def test_the_angle_is_a_metric_blind_to_rotation_scale_and_shift(
    three: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    x, y, z = three
    assert procrustes_angle(x, y) == pytest.approx(procrustes_angle(y, x), abs=1e-9)
    assert procrustes_angle(x, 3 * x @ rotation(x.shape[1]) + 2) == pytest.approx(0, abs=1e-6)
    assert procrustes_angle(x, z) <= procrustes_angle(x, y) + procrustes_angle(y, z) + 1e-9
    assert 0 <= procrustes_angle(x, y) <= np.pi / 2


@given(shapes())
def test_cca_is_blind_to_any_linear_map(three: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    x, y, _ = three
    one = np.zeros(len(x), dtype=int)
    mixed = x @ (rotation(x.shape[1], 1) * np.linspace(1, 3, x.shape[1])) + 5
    plain, changed = (canonical(side, y, one, variance=1.0) for side in (x, mixed))
    assert changed.svcca.value == pytest.approx(plain.svcca.value, abs=1e-8)
    assert canonical(x, mixed, one, variance=1.0).svcca.value == pytest.approx(1, abs=1e-8)


def test_cca_of_unrelated_data_is_as_high_as_published() -> None:
    """science: mean correlation of unrelated normal data, n = 1024 and p = 256, is 0.43."""
    x, y = np.random.default_rng(0).normal(size=(2, 1024, 256))
    assert canonical(x, y, np.zeros(1024, dtype=int), variance=1.0).svcca.value == pytest.approx(
        0.43, abs=0.01
    )


def test_leaving_out_a_group_is_the_statistic_of_the_rest() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 4))
    y = x + rng.normal(size=(60, 4))
    groups = np.arange(60) % 3
    found = canonical(x, y, groups, variance=1.0)
    for group in range(3):
        rest = groups != group
        alone = canonical(x[rest], y[rest], np.zeros(rest.sum(), dtype=int), variance=1.0)
        assert found.svcca.without[group] == pytest.approx(alone.svcca.value, abs=1e-9)
        assert found.pwcca.without[group] == pytest.approx(alone.pwcca.value, abs=1e-9)
    angle = leaving_out(lambda rows: procrustes_angle(x[rows], y[rows]), groups)
    assert angle.without[1] == procrustes_angle(x[groups != 1], y[groups != 1])
    assert angle.value == procrustes_angle(x, y)


def test_rsa_keeps_the_order_of_distances_only() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(30, 6))
    assert rsa(x, 7 * x + 1) == pytest.approx(1)  # correlations of rows ignore scale and shift
    assert abs(rsa(x, rng.normal(size=(30, 6)))) < 0.2
    assert np.isnan(rsa(x[:2], x[:2]))
    assert np.isnan(rsa(np.ones((5, 3)), x[:5]))


def test_anisotropy() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 50))
    assert anisotropy(x) == pytest.approx(0, abs=0.005)
    assert anisotropy(np.ones((4, 3))) == pytest.approx(1)
    assert anisotropy(np.array([[1.0, 0], [-1, 0]])) == -1
    massive = x.copy()
    massive[:, 7] += 100
    assert anisotropy(massive) > 0.9
    assert anisotropy(without_massive(massive, massive, 1)) == pytest.approx(
        anisotropy(np.delete(x, 7, axis=1))
    )
    assert np.isnan(anisotropy(x[:1]))


def test_overlap_beyond_chance_is_0_for_random_subspaces() -> None:
    """science: ||U'V||^2 / k of random 10-dimensional subspaces of 512 dimensions is 10 / 512."""
    rng = np.random.default_rng(0)
    shared = []
    for _ in range(40):
        u, v = (np.linalg.qr(rng.normal(size=(512, 10)))[0] for _ in range(2))
        shared.append(np.linalg.norm(u.T @ v) ** 2 / 10)
    assert np.mean(shared) == pytest.approx(10 / 512, rel=0.05)
    assert beyond_chance(10 / 512, 10, 512) == 0
    assert beyond_chance(1.0, 10, 512) == 1
    assert np.isnan(beyond_chance(1.0, 4, 4))


def test_principal_directions() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(500, 5)) * [5, 1, 3, 0.1, 0.1] + 9
    found = principal_directions(x, 2)
    assert np.abs(found[[0, 2], [0, 1]]) == pytest.approx([1, 1], abs=0.01)
    np.testing.assert_allclose(found.T @ found, np.eye(2), atol=1e-12)


def test_undefined() -> None:
    x = np.random.default_rng(0).normal(size=(4, 3))
    flat, one = np.ones((4, 3)), np.zeros(4, dtype=int)
    assert np.isnan(procrustes_angle(flat, x))
    assert np.isnan(canonical(flat, x, one).svcca.value)
    wide = np.random.default_rng(0).normal(size=(2, 12, 30))
    halves = canonical(*wide, np.arange(12) % 2)
    assert np.isnan(halves.svcca.without).all()  # half of the rows are fewer than the directions
