from math import isnan, nan, sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize, stats

from sft_probe.stats.contrasts import (
    change_equivalence,
    change_interval,
    change_test,
    equivalence,
    mcnemar,
    paired_interval,
)
from sft_probe.stats.intervals import Interval

COUNTS = st.integers(0, 60)


def answers(gained: int, lost: int, right: int, wrong: int) -> tuple[np.ndarray, np.ndarray]:
    """(after, before) of that many items of each kind."""
    kinds = np.repeat([[1, 0], [0, 1], [1, 1], [0, 0]], [gained, lost, right, wrong], axis=0)
    return kinds[:, 0].astype(float), kinds[:, 1].astype(float)


def score_statistic(gained: int, lost: int, n: int, change: float) -> float:
    """Tango's statistic with the restricted maximum found by search instead of in closed form."""

    def surprise(loss: float) -> float:
        gain = loss + change
        return -(
            gained * np.log(gain + 1e-300)
            + lost * np.log(loss + 1e-300)
            + (n - gained - lost) * np.log(1 - gain - loss + 1e-300)
        )

    bounds = max(0.0, -change), (1 - change) / 2
    loss = optimize.minimize_scalar(surprise, bounds=bounds, method="bounded", options={"xatol": 1e-12}).x
    return float((gained - lost - n * change) / sqrt(n * (2 * loss + change - change**2)))


@pytest.mark.parametrize(("gained", "lost", "n"), [(3, 9, 60), (0, 4, 50), (12, 1, 40), (5, 5, 30)])
def test_tango_limits_solve_the_score_equation(gained: int, lost: int, n: int) -> None:
    found = change_interval(*answers(gained, lost, n - gained - lost, 0))
    assert score_statistic(gained, lost, n, found.low) == pytest.approx(1.96, abs=2e-3)
    assert score_statistic(gained, lost, n, found.high) == pytest.approx(-1.96, abs=2e-3)
    assert found.value == pytest.approx((gained - lost) / n)


def test_no_flips_is_not_no_change() -> None:
    found = change_interval(*answers(0, 0, 150, 50))
    assert found.value == 0
    assert found.high == pytest.approx(1.96**2 / (200 + 1.96**2), abs=1e-4)
    assert found.low == pytest.approx(-found.high)
    assert isnan(found.se)


@pytest.mark.parametrize(("after", "before"), [(1.0, 0.0), (0.0, 1.0)])
def test_everything_changed(after: float, before: float) -> None:
    found = change_interval(np.full(20, after), np.full(20, before))
    assert {found.low, found.high} & {after - before}
    assert 0.2 < found.high - found.low < 0.6


@given(COUNTS, COUNTS, COUNTS)
def test_swapping_the_models_mirrors_the_interval(gained: int, lost: int, kept: int) -> None:
    after, before = answers(gained, lost, kept + 2, 0)
    found, mirrored = change_interval(after, before), change_interval(before, after)
    assert (found.low, found.high) == pytest.approx((-mirrored.high, -mirrored.low), abs=1e-6)
    assert -1 <= found.low <= found.value <= found.high <= 1


def test_clusters_widen_the_interval() -> None:
    after, before = answers(4, 12, 40, 24)
    clusters = np.arange(80) // 8  # flips come in clusters
    plain, clustered = change_interval(after, before), change_interval(after, before, clusters)
    assert clustered.n_clusters == 10
    assert clustered.high - clustered.low > plain.high - plain.low


@pytest.mark.parametrize(("after", "why"), [([], "no items"), ([1.0], "one item")])
def test_undefined_changes_say_why(after: list[float], why: str) -> None:
    found = change_interval(np.array(after), np.array(after))
    assert found.why == why
    assert isnan(found.low)


def test_paired_interval_is_the_t_test_on_differences() -> None:
    after, before = np.random.default_rng(0).normal(size=(2, 30))
    low, high = stats.ttest_rel(after, before).confidence_interval(0.95)
    found = paired_interval(np.append(after, nan), np.append(before, 1))
    assert (found.low, found.high) == pytest.approx((low, high))
    assert found.n == 30


@given(COUNTS, COUNTS)
def test_mcnemar_is_a_symmetric_binomial_test(gained: int, lost: int) -> None:
    found = mcnemar(gained, lost)
    expected = stats.binomtest(gained, gained + lost).pvalue if gained + lost else 1.0
    assert found == mcnemar(lost, gained)
    assert found.exact == pytest.approx(expected)
    assert 0 < found.mid <= found.exact <= 1


def test_mid_p_of_a_known_case() -> None:
    assert mcnemar(1, 8) == pytest.approx((20 / 512, 11 / 512))
    assert mcnemar(0, 0) == (1, 1)


@given(COUNTS, COUNTS, st.integers(2, 80))
def test_the_test_and_the_interval_agree(gained: int, lost: int, kept: int) -> None:
    after, before = answers(gained, lost, kept, 0)
    found, p = change_interval(after, before), change_test(after, before)
    if abs(p - 0.05) > 1e-6:
        assert (p < 0.05) == (found.low > 0 or found.high < 0)
    if gained + lost:
        assert p == pytest.approx(2 * stats.norm.sf(abs(gained - lost) / sqrt(gained + lost)))


@given(COUNTS, COUNTS, st.integers(2, 400), st.sampled_from([0.02, 0.05, 0.2]))
def test_equivalence_is_the_ninety_per_cent_interval_within_the_margin(
    gained: int, lost: int, kept: int, margin: float
) -> None:
    after, before = answers(gained, lost, kept, 0)
    found, tests = change_interval(after, before, level=0.9), change_equivalence(after, before, margin=margin)
    if abs(tests.no_loss - 0.05) > 1e-6:
        assert (tests.no_loss < 0.05) == (found.low > -margin)
    if abs(tests.p - 0.05) > 1e-6:
        assert (tests.p < 0.05) == (found.low > -margin and found.high < margin)


def test_no_flips_show_equivalence_only_with_enough_items() -> None:
    few, many = (change_equivalence(*answers(0, 0, n, 0), margin=0.02) for n in (100, 300))
    assert few.p > 0.05 > many.p
    assert isnan(change_equivalence(np.ones(1), np.ones(1), margin=0.02).p)


def test_equivalence_of_means_is_two_one_sided_t_tests() -> None:
    after, before = np.random.default_rng(0).normal(size=(2, 30))
    tests = equivalence(paired_interval(after, before), margin=0.5)
    assert tests.no_loss == pytest.approx(
        stats.ttest_1samp(after - before, -0.5, alternative="greater").pvalue
    )
    assert tests.no_gain == pytest.approx(stats.ttest_1samp(after - before, 0.5, alternative="less").pvalue)
    assert equivalence(paired_interval(after, after), margin=0.1) == (0, 0)
    assert equivalence(paired_interval(after + 1, after), margin=0.1).p == 1
    assert isnan(equivalence(Interval(value=0.0), margin=0.1).p)


@pytest.mark.parametrize(("gain", "loss"), [(0.03, 0.08), (0.1, 0.1), (0.01, 0.03)])
def test_change_interval_covers_the_truth_over_clusters(gain: float, loss: float) -> None:
    rng, covered = np.random.default_rng(2), 0
    clusters = np.repeat(np.arange(40), 3)
    weights = np.array([gain, loss, 1 - gain - loss]) * 0.7 / 0.3  # intra-cluster correlation 0.3
    for _ in range(500):
        shares, drawn = rng.dirichlet(weights, 40).repeat(3, axis=0), rng.random(120)
        after = (drawn < shares[:, 0]).astype(float)
        before = ((drawn >= shares[:, 0]) & (drawn < shares[:, :2].sum(axis=1))).astype(float)
        found = change_interval(after, before, clusters)
        covered += found.low <= gain - loss <= found.high
    assert covered / 500 > 0.93
