import numpy as np
import pytest
from scipy.stats import ttest_ind

from sft_probe.measures.membership import placements
from sft_probe.stats.two_samples import auc_interval, difference_interval, inclusion_effect


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
