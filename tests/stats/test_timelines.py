from math import isnan, nan

import numpy as np
import pytest

from sft_probe.stats.timelines import change_point, half_time, half_way

STEPS = [0, 1, 3, 10, 30]
CURVE = np.array([0.1, 0.15, 0.3, 0.7, 0.9])


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def scores(seeds: int, items: int, curve: np.ndarray = CURVE) -> np.ndarray:
    return (rng().random((seeds, items, curve.size)) < curve).astype(float)


@pytest.mark.parametrize(
    ("steps", "values", "expected"),
    [([0, 10], [0, 1], 5), ([0, 1, 3, 10], [0, 0, 0, 2], 6.5), ([0, 4], [1, 1], nan), ([0], [1], nan)],
)
def test_half_way_by_hand(steps: list[float], values: list[float], expected: float) -> None:
    assert half_way(steps, values) == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize(("seeds", "items"), [(1, 300), (3, 300), (3, 1)])
def test_limits_hold_the_half_time(seeds: int, items: int) -> None:
    table = scores(seeds, items) if items > 1 else scores(3, 300).mean(axis=1, keepdims=True)
    found = half_time(STEPS, table)
    assert found.value == pytest.approx(half_way(STEPS, table.mean(axis=(0, 1))))
    assert found.low < half_way(STEPS, CURVE) < found.high
    assert 3 < found.low < found.value < found.high < 10


def test_more_items_know_it_better() -> None:
    few, many = (half_time(STEPS, scores(1, n)) for n in (60, 2000))
    assert many.high - many.low < (few.high - few.low) / 3
    clustered = half_time(STEPS, np.repeat(scores(1, 60), 5, axis=1), np.repeat(np.arange(60), 5))
    assert clustered.high - clustered.low == pytest.approx(few.high - few.low, rel=1e-6)


def test_no_change_has_no_half_time() -> None:
    found = half_time(STEPS, scores(1, 200, np.full(5, 0.4)))
    assert found.why == "no change is shown"
    assert isnan(found.low)
    assert half_time(STEPS, scores(1, 1)).why == "one seed"


def test_a_jump_is_found_and_a_slope_is_not_a_jump() -> None:
    jump = scores(1, 200, np.array([0.2, 0.2, 0.2, 0.6, 0.6]))[0]
    found = change_point(STEPS, jump, rng())
    assert (found.step, found.low, found.high) == (10, 10, 10)
    assert found.p < 0.01
    slope = change_point(STEPS, scores(1, 600, np.linspace(0.1, 0.9, 5))[0], rng())
    assert slope.why == "the change is spread over several looks"
    assert isnan(slope.low)


def test_no_change_has_no_change_point() -> None:
    found = change_point(STEPS, scores(1, 100, np.full(5, 0.3))[0], rng())
    assert found.why == "no change is shown"
    assert change_point([0], np.ones((5, 1)), rng()).why == "fewer than two looks or items"
