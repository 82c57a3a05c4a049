from math import isnan

import numpy as np
import pytest
from scipy import stats

from sft_probe.measures.geometry import cka_without_groups, debiased_cka
from sft_probe.stats.resampling import (
    FISHER,
    LOG,
    Scale,
    balanced_groups,
    bootstrap_interval,
    hierarchical_interval,
    jackknife_interval,
)
from sft_probe.stats.seeds import over_seeds_and_items


def test_jackknife_of_a_mean_is_the_t_interval() -> None:
    values = np.random.default_rng(0).normal(size=25)
    left_out = (values.sum() - values) / 24
    found = jackknife_interval(values.mean(), left_out)
    low, high = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((low, high))
    assert found.se == pytest.approx(stats.sem(values))


def test_scales_keep_limits_in_range() -> None:
    likeness = jackknife_interval(0.99, np.array([0.999, 0.95, 0.98, 0.999]), scale=FISHER)
    ratio = jackknife_interval(0.1, np.array([0.01, 0.1, 0.2, 0.05]), scale=LOG)
    assert likeness.low < 0.99 < likeness.high < 1
    assert 0 < ratio.low < 0.1 < ratio.high


@pytest.mark.parametrize(("value", "scale"), [(1.0, FISHER), (0.0, LOG)])
def test_the_untouched_model_has_no_width(value: float, scale: Scale) -> None:
    found = jackknife_interval(value, np.full(20, value), scale=scale)
    assert (found.low, found.high, found.se) == (value, value, 0)


def test_undefined_values_have_no_interval() -> None:
    for left_out in (np.array([0.5]), np.array([0.5, np.nan, 0.4])):
        found = jackknife_interval(0.5, left_out)
        assert found.why
        assert isnan(found.low)


def test_groups_hold_whole_clusters_and_are_about_equal() -> None:
    clusters = np.repeat(np.arange(50) * 3, 4)
    groups = balanced_groups(clusters, 20)
    assert set(groups.tolist()) == set(range(20))
    assert all(len(set(groups[clusters == c])) == 1 for c in clusters)
    assert np.ptp(np.bincount(groups)) <= 4
    assert balanced_groups(np.array([5, 5, 9]), 20).tolist() == [0, 0, 1]


def test_bootstrap_of_a_ratio_of_sums() -> None:
    rng = np.random.default_rng(0)
    sums = np.stack([rng.normal(2, 0.5, size=60), np.ones(60)], axis=1)
    found = bootstrap_interval(lambda x: x[:, 0] / x[:, 1], sums, np.random.default_rng(0))
    assert found.value == pytest.approx(sums[:, 0].mean())
    assert found.se == pytest.approx(stats.sem(sums[:, 0]), rel=0.2)
    assert found.low < found.value < found.high
    assert found == bootstrap_interval(lambda x: x[:, 0] / x[:, 1], sums, np.random.default_rng(0))
    assert bootstrap_interval(lambda x: x[:, 0], sums[:1], rng).why == "one cluster"


def test_jackknife_of_cka_covers_the_population_value() -> None:
    rng, covered = np.random.default_rng(4), 0
    mixing = rng.normal(size=(12, 12)) / 4

    def draw(clusters: int) -> tuple[np.ndarray, np.ndarray]:
        """Three positions for each of many texts that share a component."""
        x = np.repeat(rng.normal(size=(clusters, 12)), 3, axis=0) + rng.normal(size=(3 * clusters, 12))
        return x, x + x @ mixing + 0.5 * rng.normal(size=x.shape)

    truth = debiased_cka(*draw(20_000))
    for _ in range(300):
        x, y = draw(60)
        found = cka_without_groups(x, y, balanced_groups(np.repeat(np.arange(60), 3)))
        interval = jackknife_interval(found.value, found.without, scale=FISHER)
        covered += interval.low <= truth <= interval.high
    assert 0.91 < covered / 300 < 0.99


def test_hierarchical_bootstrap_of_a_mean_agrees_with_the_formula() -> None:
    rng = np.random.default_rng(4)
    scores = 0.3 * rng.normal(size=(4, 1)) + rng.normal(size=(1, 50)) + rng.normal(size=(4, 50))
    table, clusters = np.repeat(scores, 3, axis=1), np.repeat(np.arange(50), 3)
    found = hierarchical_interval(np.mean, table, rng, clusters, resamples=2000)
    formula = over_seeds_and_items(table, clusters)
    assert found.value == pytest.approx(formula.value)
    assert found.high - found.low == pytest.approx(formula.high - formula.low, rel=0.1)


def test_hierarchical_bootstrap_needs_seeds_and_clusters() -> None:
    rng = np.random.default_rng(0)
    assert hierarchical_interval(np.mean, np.ones((1, 5)), rng).why == "one seed"
    assert hierarchical_interval(np.mean, np.ones((3, 5)), rng, np.zeros(5, int)).why == "one cluster"
