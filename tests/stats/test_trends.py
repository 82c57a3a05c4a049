from math import isnan, nan

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from sft_probe.stats.trends import jonckheere, spearman


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_jonckheere_of_a_published_example() -> None:
    # Hollander & Wolfe 1999, example 6.2: J = 79, exact one-sided p = 0.0231
    groups = [[40, 35, 38, 43, 44, 41], [38, 40, 47, 44, 40, 42], [48, 40, 45, 43, 46, 44]]
    values, doses = np.concatenate(groups).astype(float), np.repeat([0, 1, 2], 6)
    found = jonckheere(values, doses, rng())
    assert found.estimate.value == pytest.approx((2 * 79 - 108) / 108)
    assert found.p / 2 == pytest.approx(0.0231, abs=0.005)


def test_two_doses_are_the_mann_whitney_test() -> None:
    low, high = np.array([1.0, 2.0, 5.0]), np.array([4.0, 7.0, 6.0, 9.0])
    found = jonckheere(np.append(low, high), np.repeat([0.1, 3.0], [3, 4]), rng())
    assert found.p == pytest.approx(stats.mannwhitneyu(low, high, method="exact").pvalue, abs=1e-3)


def test_many_values_use_kendalls_limit() -> None:
    values, doses = np.random.default_rng(1).normal(size=40), np.repeat(np.arange(5), 8)
    large, few = jonckheere(values, doses, rng()), jonckheere(values[::2], doses[::2], rng())
    assert large.p == pytest.approx(stats.kendalltau(values, doses).pvalue)
    assert few.p == pytest.approx(stats.kendalltau(values[::2], doses[::2]).pvalue, abs=0.05)


@settings(max_examples=20, deadline=None)
@given(st.permutations(range(6)))
def test_a_monotone_map_changes_no_rank_test(order: list[int]) -> None:
    values, doses = np.array(order, float), np.repeat([0, 1, 2], 2)
    assert jonckheere(values, doses, rng()) == jonckheere(np.exp(values), doses, rng())
    assert spearman(values, doses, rng()) == spearman(values, np.exp(doses), rng())
    assert (
        jonckheere(-values, doses, rng()).estimate.value == -jonckheere(values, doses, rng()).estimate.value
    )


def test_spearman_is_scipys_with_a_permuted_p() -> None:
    x, y = np.random.default_rng(2).normal(size=(2, 12))
    found = spearman(x, y, rng())
    assert found.estimate.value == pytest.approx(stats.spearmanr(x, y).statistic)
    assert found.p == pytest.approx(stats.spearmanr(x, y).pvalue, abs=0.02)
    assert found.estimate.low < found.estimate.value < found.estimate.high
    large = np.random.default_rng(3).normal(size=(2, 50))
    assert spearman(*large, rng()).p == pytest.approx(stats.spearmanr(*large).pvalue)


def test_perfect_agreement_has_width() -> None:
    found = spearman(np.arange(6.0), np.arange(6.0), rng())
    assert found.estimate.value == 1
    assert 0.4 < found.estimate.low < found.estimate.high < 1
    assert found.p == pytest.approx(2 / 720)


@pytest.mark.parametrize(
    ("x", "y", "why"),
    [
        ([], [], "fewer than three values"),
        ([1, 2], [1, 2], "fewer than three values"),
        ([1, 1, 1], [1, 2, 3], "all values alike"),
    ],
)
def test_what_cannot_be_tested_says_why(x: list[float], y: list[float], why: str) -> None:
    for test in (jonckheere, spearman):
        found = test(np.array(x, float), np.array(y, float), rng())
        assert found.estimate.why == why
        assert isnan(found.p)


def test_three_pairs_have_a_test_and_no_interval() -> None:
    found = spearman(np.arange(3.0), np.arange(3.0), rng())
    assert found.p == pytest.approx(2 / 6)
    assert found.estimate.why == "fewer than four pairs"
    assert isnan(found.estimate.low) == isnan(nan)
