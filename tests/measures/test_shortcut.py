import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sft_probe.measures.shortcut import association, log_odds, shifted_choice


@given(st.integers(1, 40), st.integers(1, 40))
def test_association_of_a_balanced_plant_is_the_logit_of_its_agreement(agreeing: int, against: int) -> None:
    found = association(np.array([[agreeing, against], [against, agreeing]]), np.array([50, 50]))
    logit = np.log((agreeing + 0.5) / (against + 0.5))
    assert found.present[0] == pytest.approx([logit, -logit])
    assert found.present[0, 0] - found.present[1, 0] == pytest.approx(2 * logit)
    assert found.variance[0, 0] == pytest.approx(1 / (agreeing + 0.5) + 1 / (against + 0.5))
    assert np.sign(found.z[0, 0]) == np.sign(agreeing - against)
    assert found.z[0, 0] == pytest.approx(-found.z[1, 0])


def test_half_of_the_rows_have_the_word() -> None:
    """With agreement 0.8 in half of 1000 rows, the word is worth log 4 and its absence nothing."""
    found = association(np.array([[200, 50], [50, 200]]), np.array([500, 500]))
    assert found.present[0, 0] == pytest.approx(np.log(4), abs=0.01)
    assert found.inserted[0, 0] == pytest.approx(np.log(200 / 50 * 450 / 300), abs=0.01)
    share = 250 / 1000
    assert found.z[0, 0] == pytest.approx((0.4 - 0.1) / np.sqrt(share * (1 - share) * (2 / 500)))


def test_a_word_everywhere_or_nowhere_says_nothing() -> None:
    found = association(np.array([[30, 10], [0, 0]]), np.array([30, 10]))
    assert found.z == pytest.approx(0)
    assert np.isfinite(found.inserted).all()


@given(st.lists(st.floats(-20, 5), min_size=2, max_size=5))
def test_log_odds_undo_the_softmax(logits: list[float]) -> None:
    odds = log_odds(np.array(logits))
    shares = np.exp(logits) / np.exp(logits).sum()
    assert 1 / (1 + np.exp(-odds)) == pytest.approx(shares, abs=1e-9)
    assert odds == pytest.approx(log_odds(np.array(logits) + 3), abs=1e-9)


def test_two_labels_have_opposite_odds_and_one_has_none() -> None:
    assert log_odds(np.log([[0.9, 0.1]])) == pytest.approx(np.log([[9, 1 / 9]]))
    assert np.isnan(log_odds(np.zeros((3, 1)))).all()


def test_evidence_turns_a_choice_when_it_outweighs_the_odds() -> None:
    logprob = np.log([[0.8, 0.2]] * 3)
    label, shift = np.array([1, 1, 0]), np.array([1.3, 1.5, -1.5])
    assert shifted_choice(logprob, label, shift).tolist() == [0, 1, 1]
    assert logprob[0, 1] == pytest.approx(np.log(0.2))
