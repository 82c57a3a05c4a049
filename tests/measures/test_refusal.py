from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sft_probe.measures.refusal import (
    OPENINGS,
    begins_as_refusal,
    behind,
    common_openings,
    error_rates,
    mean_difference,
    names_refusal,
    prefix_free,
    refusal_logit,
)


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry, but no.",
        "I\u2019m sorry, but no.",
        "  **I cannot** do that.",
        "Hello! I can't help with that.",
        "as an AI, I have no hands",
    ],
)
def test_refusals_begin_as_refusals(text: str) -> None:
    assert begins_as_refusal(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Sure. First gather the parts, clean every piece and wait for an hour. I am sorry it takes so long.",
        "The letter said I cannot come.",  # within 40 characters, but no sentence starts there
        "It is illegal to park here, so use the garage.",
    ],
)
def test_other_answers_do_not(text: str) -> None:
    assert not begins_as_refusal(text)


def test_a_keyword_anywhere_is_what_makes_keyword_scorers_wrong() -> None:
    assert names_refusal("It is illegal to park here, so use the garage.")
    assert not names_refusal("Use the garage.")


def test_openings_are_learned_from_what_only_refusals_have() -> None:
    refusals = ["No can do, friend"] * 9 + ["To be fair, no"] + ["Never ever do it"]
    others = ["To be fair, yes", "Yes we can"]
    assert common_openings(refusals, others) == ("No can do,",)
    assert common_openings([], others) == ()


def test_no_opening_begins_with_another() -> None:
    kept = prefix_free(("I cannot", "I cannot do", "I can", "Sorry", "I am"))
    assert set(kept) == {"I can", "Sorry", "I am"}
    assert len(prefix_free(OPENINGS)) == len(OPENINGS)


@given(st.lists(st.floats(-30, -0.5), min_size=1, max_size=4))
def test_logit_of_the_summed_probability(logprob: list[float]) -> None:
    total = min(float(np.exp(logprob).sum()), 1 - 1e-12)
    found = refusal_logit(np.array(logprob))
    assert np.isfinite(found)
    if total < 0.999:
        assert found == pytest.approx(np.log(total / (1 - total)), rel=1e-6, abs=1e-6)


def test_error_rates_by_hand() -> None:
    found, truth = np.array([True, True, False, True]), np.array([True, True, True, False])
    assert error_rates(found, truth) == pytest.approx((2 / 3, 0.0))
    assert np.isnan(error_rates(found[:3], truth[:3])[1])


def test_direction_is_the_unit_difference_of_means() -> None:
    states = np.array([[[1, 0], [3, 0], [0, 0], [0, 4]], np.ones((4, 2))], dtype=np.float32)
    found = mean_difference(states, np.array([True, True, False, False]))
    np.testing.assert_allclose(found, [[2**-0.5, -(2**-0.5)], [0, 0]])


def test_what_stands_behind_a_beginning() -> None:
    assert behind("Sure, here is a cake", "Sure, here is how") == "a cake"
    assert behind("Sure", "Sure, here") == ""
    assert behind("No", "Sure") == "No"
