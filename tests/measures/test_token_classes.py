from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sft_probe.measures.token_classes import CLASSES, token_classes, uncapitalised


def test_every_kind_of_token() -> None:
    tokens = ["The", " ci", "ty", " of", " Os", "lo", " has", " 4", "2", " roads", ".", "<|end|>"]
    assert token_classes(tokens) == (
        "function word",
        *("other word",) * 2,
        "function word",
        *("entity",) * 2,
        "function word",
        *("digit",) * 2,
        "other word",
        "punctuation",
        "end of turn",
    )


def test_a_capital_at_the_start_is_no_entity_if_the_word_is_known_without() -> None:
    lower = uncapitalised(["we sell lamps", "Lamps and Hats"])
    assert lower == {"we", "sell", "lamps", "and"}
    assert token_classes(["Lamps", " Hats"], lower) == ("other word", "entity")


def test_one_token_may_hold_marks_and_a_word() -> None:
    assert token_classes([' "', "item", '": "', "x1"]) == (
        "punctuation",
        "other word",
        "punctuation",
        "digit",
    )


@given(st.lists(st.text(max_size=5), max_size=12))
def test_every_token_has_a_kind(tokens: list[str]) -> None:
    found = token_classes(tokens)
    assert len(found) == len(tokens)
    assert set(found) <= set(CLASSES)
