from math import isnan, nan, sqrt

import numpy as np
import pytest
from scipy import stats

from sft_probe.stats.intervals import mean_interval
from sft_probe.stats.seeds import over_seeds, over_seeds_and_items, over_seeds_with_errors


def scores(rng: np.random.Generator, seeds: int, between: float, items: int = 60) -> np.ndarray:
    """(seeds, items) around 0: seeds, items and their interaction each add their share."""
    return (
        between * rng.normal(size=(seeds, 1))
        + 0.4 * rng.normal(size=(1, items))
        + 0.3 * rng.normal(size=(seeds, items))
    )


def test_over_seeds_is_a_t_interval() -> None:
    values = np.array([0.5, 0.6, 0.55])
    found = over_seeds(values)
    half = stats.t.ppf(0.975, 2) * values.std(ddof=1) / sqrt(3)
    assert (found.low, found.high) == pytest.approx((0.55 - half, 0.55 + half))
    assert found.how == "t over 3 seeds"


@pytest.mark.parametrize(("values", "why"), [([0.5], "one seed"), ([0.5, nan], "one seed"), ([], "no seeds")])
def test_too_few_seeds(values: list[float], why: str) -> None:
    array = np.array(values)
    for found in (over_seeds(array), over_seeds_with_errors(array, np.full(len(values), 0.1))):
        assert found.why == why
        assert isnan(found.low)
    if values == [0.5]:
        assert over_seeds_and_items(np.array([[0.0, 1.0]])).why == why


def test_identical_seeds_leave_the_error_of_the_items() -> None:
    items = np.random.default_rng(0).normal(size=50)
    found, alone = over_seeds_and_items(np.stack([items, items])), mean_interval(items)
    assert (found.low, found.high) == pytest.approx((alone.low, alone.high))


def test_errors_of_items_are_shared_by_seeds() -> None:
    found = over_seeds_with_errors(np.array([0.4, 0.6]), np.array([0.1, 0.1]))
    assert found.se == pytest.approx(sqrt(0.1**2 + 0.1**2))
    assert over_seeds_with_errors(np.array([0.4, 0.6]), np.array([0.1, nan])).se == pytest.approx(0.1)


def test_clusters_of_items_count() -> None:
    rng = np.random.default_rng(0)
    values = np.repeat(scores(rng, 3, 0.0, 20), 4, axis=1)
    clustered = over_seeds_and_items(values, np.repeat(np.arange(20), 4))
    assert clustered.se > 1.5 * over_seeds_and_items(values).se


@pytest.mark.parametrize("between", [0.0, 0.05])
@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_combined_intervals_cover_the_truth(seeds: int, between: float) -> None:
    rng, exact, rough = np.random.default_rng(3), 0, 0
    for _ in range(500):
        drawn = scores(rng, seeds, between)
        found = over_seeds_and_items(drawn)
        exact += found.low <= 0 <= found.high
        found = over_seeds_with_errors(drawn.mean(axis=1), drawn.std(axis=1, ddof=1) / sqrt(60))
        rough += found.low <= 0 <= found.high
    assert exact / 500 > 0.91
    assert rough / 500 > 0.93


def test_scores_that_are_all_alike_are_no_certainty() -> None:
    found = over_seeds_and_items(np.full((3, 40), 0.25))
    assert (found.value, found.n, found.why) == (0.25, 40, "all scores alike")
    assert np.isnan([found.low, found.high]).all()
