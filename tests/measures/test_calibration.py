import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sft_probe.measures.calibration import (
    bin_of,
    brier_decomposition,
    brier_scores,
    brier_sums,
    calibration,
)

WEIGHTS = arrays(float, (30, 3), elements=st.floats(0.01, 1))


def test_bins_hold_their_upper_edge() -> None:
    assert bin_of(np.array([0, 0.1, 0.100001, 0.5, 1]), bins=10).tolist() == [0, 0, 1, 4, 9]


def test_error_by_hand() -> None:
    confidence, right = np.array([0.9, 0.9, 0.6, 0.6]), np.array([1.0, 0, 1, 1])
    found = calibration(confidence, right, np.random.default_rng(0))
    assert found.error == pytest.approx((abs(1 - 1.8) + abs(2 - 1.2)) / 4)
    assert np.isnan(calibration(confidence[:0], right[:0], np.random.default_rng(0))).all()


def test_a_calibrated_model_has_its_null_and_p_values_that_are_uniform() -> None:
    rng, found = np.random.default_rng(0), []
    for _ in range(200):
        confidence = rng.uniform(0.5, 1, 300)
        right = (rng.random(300) < confidence).astype(float)
        found.append(calibration(confidence, right, rng, resamples=200))
    errors, nulls, p_values = np.array(found).T
    assert errors.mean() == pytest.approx(nulls.mean(), rel=0.05)
    assert errors.mean() > 0.04  # the bias that the null takes out
    assert np.mean(p_values < 0.05) < 0.1
    assert abs(p_values.mean() - 0.5) < 0.08


def test_an_overconfident_model_is_found() -> None:
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.7, 1, 300)
    right = (rng.random(300) < confidence - 0.2).astype(float)
    found = calibration(confidence, right, rng)
    assert found.error - found.null == pytest.approx(0.2, abs=0.06)
    assert found.p_value < 0.01


def test_brier_by_hand() -> None:
    probabilities, gold = np.array([[0.7, 0.3], [0.5, 0.5], [0.0, 1.0]]), np.array([0, 0, 0])
    assert brier_scores(probabilities, gold).tolist() == pytest.approx([0.18, 0.5, 2.0])


@given(WEIGHTS, arrays(np.int64, 30, elements=st.integers(0, 2)))
def test_the_parts_of_brier_sum_to_the_score(weights: np.ndarray, gold: np.ndarray) -> None:
    probabilities = weights / weights.sum(1, keepdims=True)
    groups = np.arange(30) % 4
    found = brier_decomposition(brier_sums(probabilities, gold, groups).sum(0))
    assert found.score == pytest.approx(brier_scores(probabilities, gold).mean())
    shares = np.bincount(gold, minlength=3) / 30
    assert found.uncertainty == pytest.approx((shares * (1 - shares)).sum())
    assert found.reliability >= 0
    assert found.resolution == pytest.approx(found.reliability + found.uncertainty - found.score)


def test_resolution_is_murphys_where_a_bin_holds_one_forecast() -> None:
    p = np.repeat([0.2, 0.9], [10, 20])
    gold = np.r_[np.repeat([1, 0], [3, 7]), np.repeat([1, 0], [16, 4])]
    found = brier_decomposition(brier_sums(np.stack([1 - p, p], 1), gold, np.zeros(30, int))[0])
    base = 19 / 30
    assert found.reliability == pytest.approx(2 * (10 * (0.2 - 0.3) ** 2 + 20 * (0.9 - 0.8) ** 2) / 30)
    assert found.resolution == pytest.approx(2 * (10 * (0.3 - base) ** 2 + 20 * (0.8 - base) ** 2) / 30)
