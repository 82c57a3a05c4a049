import math

import numpy as np
import pytest

from sft_probe.measures.likelihood import Scoring, choice_scores, is_chosen, margin

LOGPROB, TOKENS, CHOICES = np.array([-4.0, -5.0]), np.array([1, 5]), ("no", "yes, 是的")


@pytest.mark.parametrize(
    ("by", "expected"), [("sum", [-4, -5]), ("per_token", [-4, -1]), ("per_byte", [-2, -5 / 11])]
)
def test_choice_scores(by: Scoring, expected: list[float]) -> None:
    np.testing.assert_allclose(choice_scores(LOGPROB, TOKENS, CHOICES, by), expected)


def test_the_first_of_equals_is_chosen_as_in_lm_eval() -> None:
    assert is_chosen(np.array([-1.0, -1.0]), 0)
    assert not is_chosen(np.array([-1.0, -1.0]), 1)
    assert is_chosen(np.array([-3.0, -1.0, -2.0]), 1)


def test_margin() -> None:
    assert margin(np.array([-3.0, -1.0, -2.0]), 1) == 1
    assert margin(np.array([-3.0, -1.0, -2.0]), 0) == -2
    assert math.isnan(margin(np.array([-3.0]), 0))
