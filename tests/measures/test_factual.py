from __future__ import annotations

from math import isnan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sft_probe.measures.factual import content_words, form_words, supported_share


@pytest.mark.parametrize(
    ("answer", "source", "share"),
    [
        ("The club of Oslo.", "On Monday the club of Oslo met.", 1.0),
        ("The club of Rome.", "On Monday the club of Oslo met.", 0.5),
        ("42", "It costs 40 coins.", 0.0),
        ("Oslo, Oslo, Oslo and Rome", "Oslo", 0.5),  # every word counts once
    ],
)
def test_known_answers(answer: str, source: str, share: float) -> None:
    assert supported_share(answer, source) == share


def test_words_of_the_form_do_not_count() -> None:
    answers = [f'{{"city": "{town}"}}' for town in ("Oslo", "Rome", "Bern", "Kyiv", "Riga")]
    assert form_words(answers) == {"city"}
    assert form_words(answers[:4]) == frozenset()
    assert supported_share(answers[0], "Send it to Oslo.", form_words(answers)) == 1


def test_an_answer_without_content_is_undefined() -> None:
    assert isnan(supported_share("It is of the", "Oslo"))
    assert isnan(supported_share("", "Oslo"))


@given(st.text(max_size=60))
def test_a_text_supports_itself(text: str) -> None:
    share = supported_share(text, text)
    assert isnan(share) if not content_words(text) else share == 1
