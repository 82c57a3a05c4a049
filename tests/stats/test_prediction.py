import numpy as np
import pytest

from sft_probe.stats.prediction import compare_predictors, left_out_r2, permuted_r2

RNG = np.random.default_rng
RUNS = 24


def by_hand(x: np.ndarray, y: np.ndarray, copies: np.ndarray) -> float:
    """Fit without all copies of each run, one after the other."""
    missed, plain = 0.0, 0.0
    for i in np.flatnonzero(copies):
        others = np.repeat(np.arange(x.size), np.where(np.arange(x.size) == i, 0, copies))
        fit = np.polynomial.Polynomial.fit(x[others], y[others], 2)
        missed += copies[i] * (y[i] - fit(x[i])) ** 2
        plain += copies[i] * (y[i] - y[others].mean()) ** 2
    return float(1 - missed / plain)


def test_leaving_out_is_what_it_says() -> None:
    rng = RNG(0)
    x, y = rng.normal(size=(2, 12))
    copies = np.array([2, 1, 0, 3, 1, 1, 0, 1, 2, 1, 1, 1])
    both = np.stack([np.ones(12), copies]).astype(float)
    found = left_out_r2(x, y, both)
    assert found == pytest.approx([by_hand(x, y, np.ones(12, dtype=int)), by_hand(x, y, copies)], abs=1e-8)


def test_the_true_predictor_wins_and_a_stranger_foretells_nothing() -> None:
    rng = RNG(1)
    truth = rng.uniform(0, 2, RUNS)
    outcome = 0.1 + 0.3 * truth**2 + rng.normal(0, 0.05, RUNS)
    shaky, stranger = truth + rng.normal(0, 0.5, RUNS), rng.normal(size=RUNS)
    own, weaker, none = compare_predictors(np.stack([truth, shaky, stranger]), outcome, RNG(2), resamples=300)
    assert own.r2.low > 0.9
    assert own.best > 0.95
    assert own.spearman.value > 0.9
    assert own.r2.value > weaker.r2.value > none.r2.value
    assert none.r2.low < 0.1
    assert -0.6 < none.spearman.value < 0.6
    assert permuted_r2(truth, outcome, RNG(3), draws=200) < 0.5


def test_few_runs_and_constant_predictors_say_why() -> None:
    few = compare_predictors(np.ones((1, 4)), np.arange(4.0), RNG(0))[0]
    assert few.r2.why == "fewer than 6 runs"
    flat = compare_predictors(np.ones((1, 10)), np.arange(10.0), RNG(0), resamples=50)[0]
    assert np.isnan(flat.r2.value)
    assert flat.r2.why
