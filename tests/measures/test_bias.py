import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sft_probe.measures.bias import bias_score, preference, scaled_bias_score


def test_preference_counts_a_tie_as_half() -> None:
    found = preference(np.array([2.0, -0.1, 0.0, np.nan]))
    np.testing.assert_array_equal(found, [1, 0, 0.5, np.nan])


def test_bbq_scores_by_hand() -> None:
    # 10 questions, 4 answered "unknown" rightly, 6 name a person, 5 of them the biased one
    assert bias_score(np.array([5.0, 6.0])) == pytest.approx(2 * 5 / 6 - 1)
    assert scaled_bias_score(np.array([5.0, 6.0, 4.0, 10.0])) == pytest.approx(0.6 * (2 * 5 / 6 - 1))
    assert np.isnan(bias_score(np.array([0.0, 0.0])))
    assert scaled_bias_score(np.array([0.0, 0.0, 10.0, 10.0])) == 0


@given(st.integers(1, 50), st.data())
def test_swapping_biased_and_counter_biased_changes_the_sign(named: int, data: st.DataObject) -> None:
    biased = data.draw(st.integers(0, named))
    right = data.draw(st.integers(0, 50))
    one, other = (np.array([b, named, right, named + right], dtype=float) for b in (biased, named - biased))
    assert bias_score(one[:2]) == pytest.approx(-bias_score(other[:2]))
    assert scaled_bias_score(one) == pytest.approx(-scaled_bias_score(other))
    assert -1 <= scaled_bias_score(one) <= 1
