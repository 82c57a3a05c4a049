from __future__ import annotations

from math import isnan

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sft_probe.measures.knowledge import (
    corrected_share,
    first_reached,
    least_hits,
    log_odds,
    null_log_odds,
    sensitivity,
    slick_category,
    threshold,
)


def test_log_odds_by_hand() -> None:
    assert log_odds(np.log([0.5, 0.25, 0.25])) == pytest.approx([0.0, np.log(1 / 3), np.log(1 / 3)])
    assert null_log_odds(np.log([0.9, 0.3, 0.1])) == pytest.approx([np.log(3), -np.log(3)])
    assert null_log_odds(np.log([0.9, 0.1])).size == 0


@given(st.integers(0, 30), st.floats(0.02, 0.2))
def test_ignorance_exceeds_the_threshold_as_often_as_allowed(seed: int, size: float) -> None:
    null = np.random.default_rng(seed).normal(size=400)
    assert (null > threshold(null, size)).mean() <= size
    assert threshold(np.empty(0), size) == np.inf


@pytest.mark.parametrize(
    ("prevalence", "sens", "spec"), [(0.5, 0.9, 0.95), (0.3, 0.7, 0.9), (0.8, 0.6, 0.95)]
)
def test_sensitivity_and_prevalence_are_recovered(prevalence: float, sens: float, spec: float) -> None:
    rng = np.random.default_rng(0)
    known = rng.random(20_000) < prevalence
    first, second = (rng.random(20_000) < np.where(known, sens, 1 - spec) for _ in range(2))
    estimate = sensitivity(first, second, spec)
    assert estimate == pytest.approx(sens, abs=0.02)
    assert corrected_share(float(first.mean()), estimate, spec) == pytest.approx(prevalence, abs=0.02)


def test_a_weak_test_gives_no_corrected_share() -> None:
    assert isnan(corrected_share(0.5, 0.4, 0.85))
    assert isnan(corrected_share(0.5, float("nan"), 0.95))
    assert corrected_share(0.5, 0.6, 0.75) == pytest.approx(0.25 / 0.35)
    nothing = np.zeros(50, dtype=bool)
    assert isnan(sensitivity(nothing, nothing, 0.95))


def test_guess_test_has_the_published_limits() -> None:
    assert [least_hits(160, 1 / d) for d in (100, 200, 300, 1000)] == [6, 4, 4, 3]
    assert least_hits(160, 0.0) == 1


def test_slick_categories_by_hand() -> None:
    some = np.array([True, False])
    assert slick_category(np.array([True, True]), 0, 6) == "highly known"
    assert slick_category(some, 0, 6) == "maybe known"
    assert slick_category(~some & ~some[::-1], 6, 6) == "weakly known"
    assert slick_category(np.array([False, False]), 5, 6) == "unknown"
    assert slick_category(some, 0, 6, greedy_least=2) == "unknown"


def test_a_level_is_reached_between_two_looks() -> None:
    steps = np.array([0.0, 10.0, 30.0])
    assert first_reached(steps, np.array([0.0, 0.5, 1.0]), 0.9) == pytest.approx(26.0)
    assert first_reached(steps, np.array([0.95, 0.5, 1.0]), 0.9) == 0
    assert isnan(first_reached(steps, np.array([0.0, 0.5, 0.8]), 0.9))
