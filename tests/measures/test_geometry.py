import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sft_probe.measures.geometry import (
    cka_without_groups,
    debiased_cka,
    drift_without_groups,
    minibatch_cka,
    zscore,
)

GOLDEN = json.loads((Path(__file__).parent.parent / "golden" / "cka.json").read_text())


@st.composite
def pairs(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Related states of equal width, with more or fewer rows than dimensions."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    rows, width = draw(st.integers(5, 40)), draw(st.integers(2, 40))
    x = rng.normal(size=(rows, width))
    return x, x @ rng.normal(size=(width, width)) + rng.normal(size=(rows, width))


def rotation(width: int) -> np.ndarray:
    return np.linalg.qr(np.random.default_rng(width).normal(size=(width, width)))[0]


def test_published_value() -> None:
    case = GOLDEN["google_demo"]
    state = np.random.RandomState(case["seed"])
    x = state.randn(case["rows"], case["width"])
    y = state.randn(case["rows"], case["width"]) + x
    assert debiased_cka(x, y) == pytest.approx(case["cka"], abs=5e-6)


@pytest.mark.parametrize("case", GOLDEN["small"])
def test_equals_the_sum_over_quadruples(case: dict[str, list[list[float]]]) -> None:
    assert debiased_cka(np.array(case["x"]), np.array(case["y"])) == pytest.approx(case["cka"], rel=1e-9)


@given(pairs())
def test_symmetric_and_blind_to_rotation_scale_and_shift(pair: tuple[np.ndarray, np.ndarray]) -> None:
    x, y = pair
    value = debiased_cka(x, y)
    moved = 7 * x @ rotation(x.shape[1]) + 3
    assert debiased_cka(y, x) == pytest.approx(value, abs=1e-9)
    assert debiased_cka(moved, y) == pytest.approx(value, abs=1e-7)
    assert debiased_cka(x, moved) == pytest.approx(1, abs=1e-7)


@given(pairs())
def test_wide_and_narrow_forms_agree(pair: tuple[np.ndarray, np.ndarray]) -> None:
    x, y = pair
    padding = np.zeros((len(x), len(x)))  # zeros change nothing but the form that is chosen
    assert debiased_cka(np.hstack([x, padding]), np.hstack([y, padding])) == pytest.approx(
        debiased_cka(x, y), abs=1e-9
    )


@given(pairs(), st.integers(2, 5))
def test_leaving_out_a_group_is_the_statistic_of_the_rest(
    pair: tuple[np.ndarray, np.ndarray], count: int
) -> None:
    x, y = pair
    groups = np.arange(len(x)) % count
    cka, drift = cka_without_groups(x, y, groups), drift_without_groups(x, y, groups)
    for group in range(count):
        rest = groups != group
        if rest.sum() >= 4:
            assert cka.without[group] == pytest.approx(debiased_cka(x[rest], y[rest]), abs=1e-7)
        else:
            assert np.isnan(cka.without[group])
        spread = np.linalg.norm((y - y.mean(axis=0))[rest])
        assert drift.without[group] == pytest.approx(np.linalg.norm((x - y)[rest]) / spread)


@pytest.mark.parametrize(("rows", "width"), [(64, 256), (256, 64)])
def test_unrelated_states_score_zero_on_average(rows: int, width: int) -> None:
    rng = np.random.default_rng(0)
    scores = [debiased_cka(*rng.normal(size=(2, rows, width))) for _ in range(20)]
    assert abs(np.mean(scores)) < 0.02


def test_batches_estimate_the_same_without_bias() -> None:
    """science: batches of 16 rows give 0.625 where 0.623 is true; one batch of all rows is exact."""
    state = np.random.RandomState(1337)
    x = state.randn(3200, 10)
    y = state.randn(3200, 10) + x
    whole = debiased_cka(x, y)
    assert minibatch_cka([(x, y)]) == pytest.approx(whole, abs=1e-9)
    batches = [(x[i : i + 16], y[i : i + 16]) for i in range(0, 3200, 16)]
    assert minibatch_cka(batches) == pytest.approx(whole, abs=0.02)
    assert np.isnan(minibatch_cka([]))


def test_undefined_cases() -> None:
    x = np.random.default_rng(0).normal(size=(10, 3))
    assert np.isnan(debiased_cka(x[:3], x[:3]))
    assert np.isnan(debiased_cka(np.ones((10, 3)), x))
    assert np.isnan(drift_without_groups(x, np.ones((10, 3)), np.zeros(10, dtype=int)).value)


def test_zscoring_uncovers_what_a_massive_dimension_hides() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 300, 64))
    x[:, 0] = y[:, 0] = 60 * rng.normal(size=300)
    assert debiased_cka(x, y) > 0.99
    assert debiased_cka(zscore(x), zscore(y)) < 0.1


def test_zscore() -> None:
    x = np.random.default_rng(0).normal(3, 5, size=(50, 4))
    x[:, 1] = 2.0
    scaled = zscore(x)
    np.testing.assert_allclose(scaled.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(scaled.std(axis=0), [1, 0, 1, 1])
    x[0, 2] = np.nan
    assert np.isnan(zscore(x)[:, 2]).all()


def test_drift_of_a_known_displacement() -> None:
    base = np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
    groups = np.array([0, 0, 1, 1])
    assert drift_without_groups(base, base, groups).value == 0
    moved = drift_without_groups(base + np.array([3.0, 4.0]), base, groups)
    assert moved.value == pytest.approx(5)
    np.testing.assert_allclose(moved.without, [5, 5])
    assert drift_without_groups(base @ rotation(2), base, groups).value > 0.1
