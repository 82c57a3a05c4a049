from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import ttest_ind

from sft_probe.measures.membership import placements
from sft_probe.stats.intervals import Interval, normal, t_test, wilson
from sft_probe.stats.two_samples import (
    auc_interval,
    difference_interval,
    estimates_interval,
    inclusion_effect,
)


def test_welch_is_scipys() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(1, 2, 30), rng.normal(0, 1, 50)
    found, limits = difference_interval(a, b), ttest_ind(a, b, equal_var=False).confidence_interval()
    assert (found.low, found.high) == pytest.approx((limits.low, limits.high))
    assert (found.n, found.n_clusters) == (80, 80)


def test_one_side_without_items_has_no_difference() -> None:
    assert difference_interval(np.array([1.0, 2.0]), np.array([])).why == "no items"
    assert np.isnan(difference_interval(np.array([1.0, 2.0]), np.array([])).value)


@pytest.mark.parametrize("shift", [0.0, 1.0, 2.5])
def test_the_interval_of_an_area_covers_the_truth(shift: float) -> None:
    from scipy.stats import norm

    rng, truth, hits = np.random.default_rng(1), norm.cdf(shift / np.sqrt(2)), 0
    for _ in range(400):
        found = auc_interval(*placements(rng.normal(shift, 1, 40), rng.normal(0, 1, 60)))
        hits += found.low <= truth <= found.high
    assert 0.92 <= hits / 400 <= 0.985


def test_clusters_widen_the_interval_of_an_area() -> None:
    rng, covered = np.random.default_rng(2), [0, 0]
    clusters = np.repeat(np.arange(20), 5)
    for _ in range(300):
        a, b = (np.repeat(rng.normal(size=20), 5) + 0.3 * rng.normal(size=100) for _ in range(2))
        for which, ids in enumerate((None, clusters)):
            found = auc_interval(*placements(a, b), ids, ids)
            covered[which] += found.low <= 0.5 <= found.high
    assert covered[0] / 300 < 0.75
    assert 0.92 <= covered[1] / 300 <= 0.985


def test_perfect_separation_is_not_certainty() -> None:
    found = auc_interval(*placements(np.arange(10.0) + 100, np.arange(10.0)))
    assert (found.value, found.high) == (1.0, 1.0)
    assert 0.6 < found.low < 0.95


def test_effect_of_inclusion_by_hand() -> None:
    scores = np.array([[5.0, 1.0, 9.0], [3.0, 2.0, 9.0], [4.0, 4.0, 9.0]])
    included = np.array([[True, False, True], [False, False, True], [True, True, True]])
    found, own = inclusion_effect(scores, included)
    np.testing.assert_allclose(own, [1.5, 2.5, np.nan])
    assert found.value == pytest.approx(2.0)
    assert (found.n, found.n_clusters) == (2, 2)


def test_always_included_items_say_nothing() -> None:
    found, own = inclusion_effect(np.ones((2, 3)), np.ones((2, 3), dtype=bool))
    assert found.why == "no item was included in one run and left out of another"
    assert np.isnan(own).all()


@pytest.mark.parametrize("run_sd", [0.0, 0.5])
def test_the_interval_of_an_effect_covers_the_truth(run_sd: float) -> None:
    """Items differ in difficulty and effect, runs in level and, if `run_sd`, in how much they memorise."""
    rng, hits = np.random.default_rng(3), 0
    for _ in range(300):
        included = rng.random((8, 24)) < 0.5
        effect = 1 + 0.5 * rng.normal(size=24) + run_sd * rng.normal(size=(8, 1))
        level = 3 * rng.normal(size=24) + rng.normal(size=(8, 1))
        scores = level + included * effect + 0.5 * rng.normal(size=(8, 24))
        found, _ = inclusion_effect(scores, included)
        hits += found.low <= 1 <= found.high
    assert 0.91 <= hits / 300 <= 0.995


def of_share(right: int, n: int) -> Interval:
    low, high = wilson(right / n, n, normal(0.95))
    return Interval(value=right / n, low=low, high=high, n=n)


def test_two_estimates_differ_as_newcombe_printed_it() -> None:
    """Newcombe 1998, Statistics in Medicine 17:873, table II, method 10: 56/70 against 48/80."""
    found = estimates_interval(of_share(48, 80), of_share(56, 70))
    assert (found.value, found.low, found.high) == pytest.approx((0.2, 0.0524, 0.3339), abs=5e-5)


def test_a_difference_of_estimates_turns_round_with_its_sides() -> None:
    one, two = of_share(3, 40), of_share(20, 60)
    there, back = estimates_interval(one, two), estimates_interval(two, one)
    assert (there.low, there.high) == pytest.approx((-back.high, -back.low))
    assert there.se == pytest.approx(back.se)


@pytest.mark.parametrize("right", range(30, 56, 5))
def test_a_difference_of_estimates_is_tested_as_its_limits_say(right: int) -> None:
    found = replace(estimates_interval(of_share(30, 70), of_share(right, 70)), df=1e6)
    assert (t_test(found) < 0.05) == (found.low > 0)


def test_an_exact_estimate_adds_no_width_and_an_unknown_one_leaves_none() -> None:
    some = Interval(value=3.0, low=2.0, high=5.0, n=9)
    exact = estimates_interval(Interval(value=1.0, se=0.0), some)
    assert (exact.value, exact.low, exact.high) == pytest.approx((2.0, 1.0, 4.0))
    unknown = estimates_interval(Interval(value=1.0), some)
    assert (unknown.value, unknown.why) == (2.0, "no interval")
    assert np.isnan(unknown.low)


def test_other_levels_stretch_as_student_does() -> None:
    one, two = (Interval(value=v, low=v - 1, high=v + 1, se=0.4, df=5.0) for v in (0.0, 2.0))
    wide, narrow = (estimates_interval(one, two, level=level) for level in (0.95, 0.9))
    assert (narrow.high - narrow.value) / (wide.high - wide.value) == pytest.approx(2.0150 / 2.5706, rel=1e-4)


@pytest.mark.parametrize(("p", "q"), [(0.5, 0.5), (0.1, 0.3), (0.95, 0.9)])
def test_a_difference_of_estimates_covers_the_truth(p: float, q: float) -> None:
    rng, covered = np.random.default_rng(5), 0
    for one, two in zip(rng.binomial(60, p, 1500), rng.binomial(90, q, 1500), strict=True):
        found = estimates_interval(of_share(int(one), 60), of_share(int(two), 90))
        covered += found.low <= q - p <= found.high
    assert 0.935 < covered / 1500 < 0.975
