from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sft_probe.data.examples import Example
from sft_probe.errors import NotApplicable, SpecError
from sft_probe.train.edits.base import EditContext
from sft_probe.train.edits.typos import Typos, misspelt

LETTERS = "abcdefghijklmnopqrstuvwxyz"


@pytest.mark.parametrize("rate", [0.0, 0.4, 1.0])
def test_the_asked_share_of_prompts_is_misspelt_and_no_answer(
    rate: float, people: list[Example], context: EditContext
) -> None:
    edited = Typos(rate=rate, words=0.5).apply(people, context)
    changed = [(a, b) for a, b in zip(people, edited.rows, strict=True) if a.messages != b.messages]
    assert len(changed) == len(edited.changes) == round(rate * 60)
    assert all(before.target == after.target for before, after in zip(people, edited.rows, strict=True))
    for before, after in changed:
        marks = after.meta["planted"]
        assert isinstance(marks, dict)
        assert marks["typos"]["clean"] == before.prompt != after.prompt
        assert after.prompt[-1] == "?"  # marks between words stay


@pytest.mark.parametrize(("share", "number"), [(0.0, 1), (0.5, 2), (1.0, 4)])
def test_the_asked_share_of_words_is_misspelt(
    share: float, number: int, people: list[Example], context: EditContext
) -> None:
    # "Where was Zadok3 Quill21 born?" has the words of four letters Where, Zadok, Quill and born
    [before, after] = [people[3], Typos(rate=1.0, words=share).apply(people, context).rows[3]]
    pairs = list(zip(before.prompt.split(), after.prompt.split(), strict=True))
    assert sum(old != new for old, new in pairs) == number


@given(word=st.text(LETTERS, min_size=4, max_size=12), seed=st.integers(0, 1000))
def test_a_slip_makes_another_word_with_the_same_ends(word: str, seed: int) -> None:
    other = misspelt(word, Random(seed))
    assert other != word
    assert (other[0], other[-1]) == (word[0], word[-1])
    assert abs(len(other) - len(word)) <= 1


def test_prompts_without_words_cannot_be_misspelt(context: EditContext) -> None:
    with pytest.raises(NotApplicable, match="a word of four letters"):
        Typos().apply([Example(id="t", target="plain")], context)


def test_shares_are_checked() -> None:
    with pytest.raises(SpecError, match="rate"):
        Typos(rate=-0.1)
