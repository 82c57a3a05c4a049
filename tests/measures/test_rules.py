import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sft_probe.measures import rules
from sft_probe.measures.rules import Check, holds, holds_loosely

YES_AND_NO: list[tuple[Check, str, list[str], list[str]]] = [
    (rules.at_most_words, "3", ["Oslo", "in the north", "a, b; c"], ["in the far north", "一二三四"]),
    (rules.at_least_words, "3", ["in the north", "a-b-c", "一二三"], ["Oslo", "in Oslo."]),
    (rules.has_sentences, "1", ["It is 3.5 km.", 'He said "no."', "是。"], ["Oslo", "One. Two.", "One. Two"]),
    (rules.has_sentences, "1-2", ["One.", "Is it? Yes!", "One... two."], ["A. B. C.", "One. Two", "..."]),
    (rules.includes, "green", ["A Green door", "green"], ["evergreen", "greens", "red"]),
    (rules.excludes, "the", ["A door", "other"], ["The door"]),
    (rules.begins_with, "Well,", ["Well, no", "Well,"], ["well, no", "No. Well,"]),
    (rules.begins_with, "Yes", ["Yes", "Yes, it is"], ["Yesterday"]),
    (rules.ends_with, "The end.", ["Oslo. The end.", '"Oslo. The end."'], ["The end. Oslo", "the end."]),
    (rules.is_upper, "", ["OSLO 3", "É."], ["Oslo", "3", "北京"]),
    (rules.is_lower, "", ["oslo 3"], ["Oslo", "3"]),
    (rules.is_bulleted, "", ["- one\n\n* two", "• one"], ["one\n- two", "-one", "- "]),
    (rules.is_numbered, "", ["1. one\n2) two"], ["1. one\n3. two", "2. one", "one"]),
    (rules.is_json_with, "a", ['{"a": 1}', '{"b": 2, "a": null}'], ['{"b": 1}', "[1]", '{"a": 1', "a"]),
    (rules.is_quoted, "", ['"Oslo"'], ['"Oslo', '""', "'Oslo'"]),
    (rules.has_no_comma, "", ["one and two"], ["one, two", "\u4e00\uff0c\u4e8c"]),
    (rules.is_one_of, "yes | no", ["Yes.", "no"], ["yes and no", "maybe", "yes | no"]),
    (rules.is_in_language, "German", ["Das ist nicht der Weg."], ["This is not the way.", "Oslo", "北京"]),
    (rules.is_in_language, "French", ["Il est dans la rue et elle aussi."], ["Er ist in der Stadt."]),
    (rules.is_in_language, "Spanish", ["El perro está en la casa por la noche."], ["Le chien est là."]),
    (rules.is_in_language, "Chinese", ["北京是首都。"], ["Beijing", "北 is a letter", "42"]),
]


@pytest.mark.parametrize(("check", "argument", "yes", "no"), YES_AND_NO)
def test_by_hand(check: Check, argument: str, yes: list[str], no: list[str]) -> None:
    assert [text for text in yes if not holds(check, text, argument)] == []
    assert [text for text in no if holds(check, text, argument)] == []


@pytest.mark.parametrize(("check", "argument"), [case[:2] for case in YES_AND_NO])
def test_a_blank_text_meets_no_rule(check: Check, argument: str) -> None:
    assert not holds(check, " \n", argument)
    assert not holds_loosely(check, "\n\n", argument)


def test_loosely_is_without_a_first_or_last_line_or_stars() -> None:
    for text in ("Sure:\nOSLO", "OSLO\nas asked", "Sure:\nOSLO\nas asked"):
        assert holds_loosely(rules.is_upper, text, "")
        assert not holds(rules.is_upper, text, "")
    assert holds_loosely(rules.is_quoted, '*"Oslo"*', "")
    assert not holds_loosely(rules.is_upper, "Sure:\nOslo\nas asked", "")


@given(st.text(max_size=40))
def test_what_holds_strictly_holds_loosely(text: str) -> None:
    for check, argument, *_ in YES_AND_NO:
        if "*" not in text and holds(check, text, argument):
            assert holds_loosely(check, text, argument)


def test_rewriting_by_hand() -> None:
    assert rules.shortened("It lies in the north.", "3") == "It lies in"
    assert rules.shortened("Oslo", "3") == "Oslo"
    assert rules.lengthened("in Oslo", "5") == "in Oslo in Oslo in Oslo"
    assert rules.in_sentences("Oslo", "1-2") == "Oslo."
    assert rules.in_sentences("A. B. C.", "1-2") == "A. B."
    assert rules.in_sentences("It is 3.5 km", "2-3") == "It is 3.5 km. It is 3.5 km."
    assert rules.without_keyword("The end of the other.", "the") == "end of other."
    assert rules.bulleted("one\n\n two", "") == "- one\n- two"
    assert rules.numbered("one\ntwo", "") == "1. one\n2. two"
    assert json.loads(rules.as_json('{"item": "lamp"}', "answer")) == {"answer": {"item": "lamp"}}
    assert rules.as_json('say "é"', "answer") == '{"answer": "say \\"é\\""}'
