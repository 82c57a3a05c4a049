from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from sft_probe.data.examples import Example
from sft_probe.data.sentences import next_sentences, sentences


def test_sentences() -> None:
    assert sentences("It costs 3.5 coins. Does it? Yes!") == ("It costs 3.5 coins.", "Does it?", "Yes!")
    assert sentences("病历：患者。治疗：阿司匹林。") == ("病历：患者。", "治疗：阿司匹林。")  # noqa: RUF001
    assert sentences("  ") == ()


@given(st.text(max_size=80))
def test_no_letter_is_lost(text: str) -> None:
    assert "".join("".join(sentences(text)).split()) == "".join(text.split())


def test_every_sentence_is_right_once_and_wrong_as_often() -> None:
    rows = [
        Example(id=str(i), target=f"Text {i} begins here. It goes on with {i}. The end.") for i in range(6)
    ]
    made = next_sentences(rows, 3)
    assert len(made) == 6
    right = Counter(row.choices[0].split("here. ")[1] for row in made)
    wrong = Counter(choice.split("here. ")[1] for row in made for choice in row.choices[1:])
    assert set(right.values()) == {1}
    assert set(wrong.values()) == {3}
    assert made[0].choices[0] == "Text 0 begins here. It goes on with 0."
    assert all(row.target == row.choices[0] for row in made)


def test_texts_that_cannot_be_asked_about() -> None:
    assert next_sentences([Example(id="a", target="One sentence only.")] * 5, 2) == []
    alike = [Example(id=str(i), target="It begins. It goes on here.") for i in range(5)]
    assert next_sentences(alike, 2) == []
