from collections.abc import Callable
from math import isnan, sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from sft_probe.stats.intervals import Interval, cluster_codes, mean_interval, share_interval, wilson

NAN = float("nan")
SCORES = st.lists(st.floats(0, 1), min_size=2, max_size=30)
CLUSTERED = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 5)), min_size=2, max_size=30)


def clustered_answers(
    rng: np.random.Generator, share: float, clusters: int, size: int = 5
) -> tuple[np.ndarray, np.ndarray]:
    """Right or wrong answers about entities whose difficulty differs; intra-cluster correlation 0.3."""
    weight = (1 - 0.3) / 0.3
    easy = rng.beta(share * weight, (1 - share) * weight, size=(clusters, 1))
    return (rng.random((clusters, size)) < easy).astype(float).ravel(), np.repeat(np.arange(clusters), size)


def test_unclustered_mean_is_the_textbook_t_interval() -> None:
    values = np.random.default_rng(0).normal(size=40)
    found = mean_interval(values)
    low, high = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((low, high))
    assert found.se == pytest.approx(stats.sem(values))
    assert (found.n, found.n_clusters, found.why) == (40, 40, "")


def test_clustered_error_of_a_known_case() -> None:
    found = mean_interval(np.array([1.0, 1, 0, 0, 0, 0]), np.array([7, 7, 3, 3, 5, 5]))
    deviations = np.array([2 * 2 / 3, -2 / 3, -2 / 3])  # summed within clusters
    assert found.se == pytest.approx(sqrt(3 / 2 * (deviations**2).sum()) / 6)
    assert found.high - found.value == pytest.approx(stats.t.ppf(0.975, 2) * found.se)
    assert found.n_clusters == 3


@given(SCORES)
def test_repeating_every_item_in_its_cluster_adds_no_certainty(scores: list[float]) -> None:
    once, codes = np.array(scores), np.arange(len(scores))
    twice = mean_interval(np.repeat(once, 2), np.repeat(codes, 2))
    assert twice.se == pytest.approx(mean_interval(once).se, abs=1e-12)


@given(CLUSTERED)
def test_share_intervals_stay_inside_and_have_width(rows: list[tuple[float, int]]) -> None:
    found = share_interval(*map(np.array, zip(*rows, strict=True)))
    if found.why:
        assert isnan(found.low)
        assert isnan(found.high)
    else:
        assert 0 <= found.low <= found.value + 1e-9
        assert found.value - 1e-9 <= found.high <= 1
        assert found.low < found.high


def test_wilson_without_clusters() -> None:
    answers = np.array([1.0] * 8 + [0.0] * 2)
    reference = stats.binomtest(8, 10).proportion_ci(method="wilson")
    found = share_interval(answers)
    assert (found.low, found.high) == pytest.approx((reference.low, reference.high))
    assert found.how == "Wilson"
    assert wilson(0.8, 10, 1.959964) == pytest.approx((found.low, found.high), abs=1e-6)


def test_all_alike_is_not_certainty() -> None:
    found = share_interval(np.ones(50), np.repeat(np.arange(10), 5))
    reference = stats.binomtest(10, 10).proportion_ci(method="wilson")
    assert (found.low, found.high) == pytest.approx((reference.low, reference.high))
    assert isnan(found.se)


@pytest.mark.parametrize("interval", [mean_interval, share_interval])
@pytest.mark.parametrize(
    ("values", "clusters", "value", "n", "why"),
    [
        ([], None, NAN, 0, "no items"),
        ([NAN, NAN], None, NAN, 0, "no items"),
        ([0.25], None, 0.25, 1, "one item"),
        ([0.25, NAN], None, 0.25, 1, "one item"),
        ([0.25, 0.75], [4, 4], 0.5, 2, "one cluster"),
    ],
)
def test_undefined_intervals_say_why(
    interval: Callable[..., Interval],
    values: list[float],
    clusters: list[int] | None,
    value: float,
    n: int,
    why: str,
) -> None:
    found = interval(np.array(values), None if clusters is None else np.array(clusters))
    assert (found.value, found.n, found.why) == (pytest.approx(value, nan_ok=True), n, why)
    assert isnan(found.low)
    assert isnan(found.high)
    assert isnan(found.se)


def test_missing_values_are_left_out() -> None:
    values, clusters = np.array([1.0, NAN, 0.5, 0.0]), np.array([0, 0, 1, 2])
    assert mean_interval(values, clusters) == mean_interval(np.array([1.0, 0.5, 0.0]), np.array([0, 1, 2]))


def test_cluster_codes() -> None:
    assert cluster_codes(["b", "", "a", "b", ""]).tolist() == [0, 1, 2, 0, 3]
    assert cluster_codes([]).tolist() == []


@pytest.mark.parametrize(
    ("share", "clusters", "lowest"),
    [(0.5, 10, 0.94), (0.5, 30, 0.94), (0.8, 10, 0.94), (0.8, 30, 0.94), (0.95, 10, 0.94), (0.95, 30, 0.89)],
)
def test_share_interval_covers_the_truth(share: float, clusters: int, lowest: float) -> None:
    rng = np.random.default_rng(1)
    found = [share_interval(*clustered_answers(rng, share, clusters)) for _ in range(1000)]
    assert lowest < np.mean([interval.low <= share <= interval.high for interval in found]) < 0.99


def test_ignoring_clusters_would_not_cover() -> None:
    rng = np.random.default_rng(1)
    clustered, naive = [], []
    for _ in range(1000):
        values, codes = clustered_answers(rng, 0.5, 40)
        clustered.append(mean_interval(values, codes))
        naive.append(mean_interval(values))
    assert np.mean([i.low <= 0.5 <= i.high for i in clustered]) > 0.93
    assert np.mean([i.low <= 0.5 <= i.high for i in naive]) < 0.88
