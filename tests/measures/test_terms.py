from __future__ import annotations

from math import isnan, log, sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sft_probe.measures.terms import counted, log_odds, more_often, own_terms, smoothed_prior, term_share

counts = st.lists(st.integers(0, 50), min_size=3, max_size=3).map(lambda x: np.array(x, dtype=float))


def test_by_hand() -> None:
    """3 of 10 against 1 of 10 words, with a prior of 1 each."""
    odds = log_odds(np.array([3.0, 7.0]), np.array([1.0, 9.0]), np.ones(2))
    assert odds.value[0] == pytest.approx(log(4 / 8) - log(2 / 10))
    assert odds.se[0] == pytest.approx(sqrt(1 / 4 + 1 / 2))


@given(counts, counts)
def test_swapping_the_bodies_swaps_the_sign(first: np.ndarray, second: np.ndarray) -> None:
    prior = smoothed_prior(first + second)
    one, other = log_odds(first, second, prior), log_odds(second, first, prior)
    np.testing.assert_allclose(one.value, -other.value, atol=1e-12)
    np.testing.assert_allclose(one.se, other.se)


def test_the_prior_keeps_rare_terms_from_standing_out() -> None:
    first, second = np.array([1.0, 60.0, 1000.0]), np.array([0.0, 10.0, 1000.0])
    assert more_often(log_odds(first, second, smoothed_prior(first + second))).tolist() == [
        False,
        True,
        False,
    ]
    assert more_often(log_odds(np.zeros(0), np.zeros(0), np.zeros(0))).tolist() == []


def test_noise_has_no_terms() -> None:
    """Of 200 pairs of bodies from one source, few have a term that stands out."""
    rng, rates = np.random.default_rng(0), np.linspace(1, 20, 40)
    false = 0
    for _ in range(200):
        first, second = rng.poisson(rates).astype(float), rng.poisson(rates).astype(float)
        false += more_often(log_odds(first, second, smoothed_prior(first + second))).any()
    assert false / 200 < 0.08


def test_counting_and_own_terms() -> None:
    terms, table = counted((["a cat, a dog"], ["A dog!"]))
    assert dict(zip(terms, table.T.tolist(), strict=True)) == {"a": [2, 1], "cat": [1, 0], "dog": [1, 1]}
    notes = ["the patient has hypertension"] * 40
    plain = ["the cat has a house"] * 40
    assert set(own_terms(notes, plain, 5)) == {"patient", "hypertension"}
    assert own_terms(notes, notes, 5) == ()
    assert counted(([""], [" "]))[0] == ()


def test_share_of_terms() -> None:
    assert term_share("The patient, the patient!", {"patient"}) == 0.5
    assert isnan(term_share("  ", {"patient"}))
