"""Dose-response statistics against hand-computed values and simulation."""

from __future__ import annotations

from math import isnan, nan, sqrt

import numpy as np
import pytest

from sft_probe.calibration.response import (
    clopper_pearson,
    limit_of_detection,
    monotone,
    null_band,
    power,
    recovery,
    respond,
    saturation,
    slope,
    trend,
)

DOSES = (0.0, 1.0, 2.0, 3.0, 4.0)


def noisy(means: list[float], rng: np.random.Generator, seeds: int = 3, sd: float = 1.0) -> np.ndarray:
    return np.array(means)[:, None] + sd * rng.normal(size=(len(means), seeds))


def test_a_slope_by_hand() -> None:
    """Points (0, 0), (0, 2), (2, 4), (2, 6): line 1 + 2x, residuals -1, 1, -1, 1, so s² = 4/2, Sxx = 4."""
    found = slope((0.0, 2.0), np.array([[0.0, 2.0], [4.0, 6.0]]))
    assert found.value == pytest.approx(2)
    assert found.se == pytest.approx(sqrt(2 / 4))
    assert found.low == pytest.approx(2 - 4.3027 * sqrt(0.5), abs=1e-3)


def test_the_interval_of_a_slope_covers() -> None:
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(600):
        of_seeds = rng.normal(size=3)
        values = noisy([0.7 * dose for dose in DOSES], rng) + of_seeds
        found = slope(DOSES, values)
        held += found.low <= 0.7 <= found.high
    assert held / 600 >= 0.94


def test_a_slope_needs_cells() -> None:
    assert slope((0.0, 1.0), np.array([[1.0, nan], [nan, nan]])).why


def test_the_trend_test_keeps_its_size_and_finds_a_trend() -> None:
    rng = np.random.default_rng(1)
    null = [trend(DOSES, noisy([0.0] * 5, rng), 1, rng) for _ in range(150)]
    assert np.mean(np.array(null) <= 0.05) <= 0.10
    rising = np.arange(15.0).reshape(5, 3)
    assert trend(DOSES, rising, 1, rng) < 0.001
    assert trend(DOSES, rising, -1, rng) > 0.99


@pytest.mark.parametrize("sign", [1, -1])
def test_power_is_what_simulation_finds(sign: int) -> None:
    """Means 3 standard deviations apart: how often does the t test of 3 runs against 3 reject?"""
    unit = np.array([-1.0, 0.0, 1.0])
    values = np.stack([unit, unit + 3 * sign])
    (_, found) = power(values, sign)  # type: ignore[arg-type]
    rng = np.random.default_rng(2)
    a, b = rng.normal(size=(2, 20_000, 3)) + np.array([0.0, 3.0])[:, None, None]
    apart = (b.mean(1) - a.mean(1)) / np.sqrt((a.var(1, ddof=1) + b.var(1, ddof=1)) / 2 * 2 / 3)
    assert found == pytest.approx((apart > 2.7764).mean(), abs=0.01)


def test_power_at_its_ends() -> None:
    alike, apart = np.zeros((2, 3)), np.array([[0.0] * 3, [1.0] * 3])
    assert power(alike, 1)[1] == 0
    assert power(apart, 1)[1] == 1
    assert power(apart, -1)[1] == 0
    assert power(np.array([[0.0, 1e-3, -1e-3], [50.0, 50.1, 49.9]]), 1)[1] == pytest.approx(1)
    assert isnan(power(np.array([[0.0, nan], [1.0, nan]]), 1)[1])


def test_the_limit_of_detection_is_the_lowest_dose_from_which_on_all_are_found() -> None:
    assert limit_of_detection(DOSES, [nan, 0.9, 0.5, 0.8, 1.0]) == 3
    assert limit_of_detection(DOSES, [nan, 0.8, 0.9, 0.9, 1.0]) == 1
    assert isnan(limit_of_detection(DOSES, [nan, 0.9, 0.9, 0.9, 0.7]))


def test_monotone_forgives_noise_only() -> None:
    flat = np.array([[0.0, 0.2, -0.2], [1.0, 1.2, 0.8], [0.9, 1.1, 0.7]])
    assert monotone(flat, 1) is True
    assert monotone(flat - np.array([[0], [0], [2]]), 1) is False
    assert monotone(-flat, -1) is True
    assert monotone(flat[:, :1], 1) is None


def test_saturation_is_the_dose_from_which_on_nothing_is_gained() -> None:
    jitter = np.array([0.01, 0.0, -0.01])
    levels = np.array([0.0, 5.0, 10.0, 10.0, 10.0])[:, None] + jitter
    assert saturation(DOSES, levels, 1) == 2
    assert saturation(DOSES, -levels, -1) == 2
    assert isnan(saturation(DOSES, np.array(DOSES)[:, None] + jitter, 1))
    assert isnan(saturation(DOSES, levels, -1))


def test_the_null_band_by_hand() -> None:
    low, high = null_band(np.array([1.0, 2.0, 3.0]))
    assert (low + high) / 2 == pytest.approx(2)
    assert high - 2 == pytest.approx(4.3027 * sqrt(4 / 3), abs=1e-3)


def test_recovery_by_hand() -> None:
    """Doses 1 and 2, estimated 10 % too high by one seed and exactly by the other; 0.5 is below the limit."""
    doses = (0.0, 0.5, 1.0, 2.0)
    estimates = np.array([[0.3, 0.3], [9.0, 9.0], [1.1, 1.0], [2.2, 2.0]])
    found = recovery(doses, estimates, estimates - 0.15, estimates + 0.15, 1.0)
    assert found is not None
    assert found.bias.value == pytest.approx(0.05)
    assert found.rmse == pytest.approx(sqrt((0.1**2 + 0.2**2) / 4))
    assert (found.coverage, found.n) == (0.75, 4)
    assert recovery(doses, np.full((4, 2), nan), estimates, estimates, 1.0) is None
    assert recovery(doses, estimates, estimates, estimates, nan) is None


def test_clopper_pearson_against_known_values() -> None:
    """The bounds of science.md: 0 of 20 leaves 16.8 % (two-sided; 13.9 % one-sided), 0 of 59 6.1 %."""
    assert clopper_pearson(0, 20).high == pytest.approx(0.1684, abs=1e-4)
    assert clopper_pearson(0, 20, level=0.90).high == pytest.approx(0.1391, abs=1e-4)
    assert clopper_pearson(0, 59, level=0.90).high == pytest.approx(0.05, abs=1e-3)
    one = clopper_pearson(1, 10)
    assert (one.low, one.high) == (pytest.approx(0.0025, abs=1e-4), pytest.approx(0.4450, abs=1e-4))
    assert clopper_pearson(5, 5).high == 1
    assert clopper_pearson(0, 0).why


def test_all_together() -> None:
    rng = np.random.default_rng(3)
    found = respond(DOSES, noisy([0, 2, 4, 6, 8], rng, sd=0.3), 1, rng)
    assert found.monotone
    assert found.trend_p < 0.01
    assert found.slope.low < 2 < found.slope.high
    assert found.lod == 1
    assert isnan(found.saturation)
    assert found.null_low < 0 < found.null_high
