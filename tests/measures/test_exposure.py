from math import log2

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sft_probe.measures.exposure import (
    NULL_MEAN,
    ceiling,
    extractable,
    extraction_strength,
    extrapolated_exposure,
    null_uniformity,
    rank_exposure,
)


def flags(text: str) -> np.ndarray:
    return np.array([letter == "1" for letter in text], dtype=bool)


def test_exposure_by_hand() -> None:
    references = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0])  # ranks 1 to 8, ceiling 3 bits
    found = rank_exposure(np.array([0.5, 3.5, 9.0, 4.0]), references)
    np.testing.assert_allclose(found, [3, 1, 0, log2(8 / 4.5)])
    assert ceiling(7) == 3


def test_ties_decide_nothing() -> None:
    """A model that likes all secrets alike must not make anyone the best: the middle of 8 ranks is 4.5."""
    same = np.full(7, 2.0)
    np.testing.assert_allclose(rank_exposure(same[:3], same), log2(8 / 4.5))


@given(st.lists(st.floats(-50, 50), min_size=1, max_size=40), st.floats(-50, 50))
def test_exposure_stays_between_zero_and_the_ceiling(references: list[float], loss: float) -> None:
    (found,) = rank_exposure(np.array([loss]), np.array(references))
    assert 0 <= found <= ceiling(len(references))


def test_secrets_never_planted_have_the_null_exposure() -> None:
    """Mean 1.44 bits, and at least 5 bits in one of 32 cases; both estimators."""
    rng = np.random.default_rng(0)
    by_rank, fitted = [], []
    for trial in range(60):
        losses = rng.normal(20, 3, 40 + 1023)
        by_rank.append(rank_exposure(losses[:40], losses[40:]))
        if trial < 2:
            fitted.append(extrapolated_exposure(rng.normal(20, 3, 1200), losses[40:]))
    for exposure in (np.concatenate(by_rank), np.concatenate(fitted)):
        assert exposure.mean() == pytest.approx(NULL_MEAN, abs=0.1)
        assert np.mean(exposure >= 5) == pytest.approx(1 / 32, abs=0.012)
    p_values = np.array([null_uniformity(exposure).p for exposure in by_rank])
    assert np.mean(p_values < 0.05) < 0.15
    assert null_uniformity(np.full(20, 6.0)).p < 1e-6


def test_the_fitted_tail_goes_on_above_the_ceiling() -> None:
    references = np.random.default_rng(1).normal(0, 1, 255)
    far = extrapolated_exposure(np.array([-2.0, -6.0, -9.0]), references)
    assert far[2] > far[1] > ceiling(255) > far[0]
    assert np.isnan(extrapolated_exposure(np.zeros(1), references[:19])).all()
    assert np.isnan(extrapolated_exposure(np.zeros(1), np.ones(50))).all()


def test_a_skewed_reference_is_fitted_as_skewed() -> None:
    from scipy.stats import skewnorm

    for shape in (-6.0, 6.0):
        losses = skewnorm.rvs(shape, size=2000, random_state=0)
        true = -skewnorm.logcdf(losses[:200], shape) / np.log(2)
        np.testing.assert_allclose(extrapolated_exposure(losses[:200], losses).mean(), true.mean(), atol=0.15)


@pytest.mark.parametrize(
    ("right", "strength"), [("1111", 1.0), ("0111", 0.75), ("1011", 0.5), ("1110", 0.0), ("0000", 0.0)]
)
def test_extraction_strength_by_hand(right: str, strength: float) -> None:
    assert extraction_strength(flags(right)) == strength
    assert np.isnan(extraction_strength(flags("")))


@pytest.mark.parametrize(
    ("right", "prefix", "suffix", "found"),
    [("1111", 0, 9, 1), ("0111", 0, 9, 0), ("0111", 1, 9, 1), ("0110", 1, 2, 1), ("0110", 1, 3, 0)],
)
def test_extractable_by_hand(right: str, prefix: int, suffix: int, found: float) -> None:
    assert extractable(flags(right), prefix, suffix) == found


def test_nothing_behind_the_prefix_is_undefined() -> None:
    assert np.isnan(extractable(flags("111"), 3, 5))


@given(st.lists(st.booleans(), min_size=1, max_size=20), st.integers(0, 19))
def test_more_prefix_is_never_less_extractable(right: list[bool], prefix: int) -> None:
    row = np.array(right)
    short, longer = (extractable(row, k, 50) for k in (prefix, prefix + 1))
    assert np.isnan(longer) or longer >= short
    assert (extraction_strength(row) == 1) == (extractable(row, 0, 50) == 1)
