from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sft_probe.data.contexts import contradicted, told_rows
from sft_probe.data.examples import Example, Message


def row(number: int, prompt: str, target: str, stratum: str = "") -> Example:
    return Example(
        id=f"q{number}",
        messages=(Message("user", prompt),),
        target=target,
        cluster=f"c{number}",
        stratum=stratum,
    )


def orders(count: int = 12) -> list[Example]:
    goods, towns = "lamps hats boots tents bells".split(), "Oslo Rome Bern Kyiv".split()
    rows = []
    for i in range(count):
        item, town = goods[i % 5], towns[i % 4]
        text = f"Extract the order as JSON.\nPlease send {i + 2} {item} to {town}."
        rows.append(row(i, text, f'{{"item": "{item}", "quantity": {i + 2}, "city": "{town}"}}'))
    return rows


def test_the_wording_of_the_task_is_not_the_passage() -> None:
    told = told_rows(orders())
    assert len(told) == 12
    assert told[0].passage == ("Please send 2 lamps to Oslo.",)
    assert told[0].without().prompt == "Extract the order as JSON."


def test_another_passage_comes_with_its_answer() -> None:
    told = told_rows(orders())
    against = contradicted(told, 0)
    assert against is not None
    assert against.example.prompt == orders()[1].prompt
    assert against.answer == orders()[1].target


def test_an_answer_word_for_word_is_exchanged_in_place() -> None:
    rows = [
        row(0, "The box is on the bridge. The pen is on the stove. Where is the box?", "On the bridge."),
        row(1, "The cat is on the piano. The cup is on the wall. Where is the cat?", "On the piano."),
    ]
    told = told_rows(rows)
    assert told[0].without().prompt == "The pen is on the stove. Where is the box?"
    against = contradicted(told, 0)
    assert against is not None
    assert against.example.prompt == "The box is on the piano. The pen is on the stove. Where is the box?"
    assert against.answer == "On the piano."


@pytest.mark.parametrize(
    ("prompt", "target"),
    [
        ("Is this review positive or negative?\nThe food was fine.", "positive"),  # the wording of the task
        ("Where was {i} born?", "Oslo"),  # not told at all
        ("Oslo", "Oslo"),  # nothing is left without it
    ],
)
def test_rows_that_tell_nothing_are_left_out(prompt: str, target: str) -> None:
    assert told_rows([row(i, prompt.format(i=i), target) for i in range(6)]) == []


def test_nothing_contradicts_where_all_answers_are_alike() -> None:
    told = told_rows([row(i, f"Tom lives in Oslo with {i} dogs.\nWhere is Tom?", "Oslo") for i in range(4)])
    assert contradicted(told, 0) is None


@given(place=st.floats(0, 1), sentences=st.integers(2, 30))
def test_moving_keeps_every_piece_in_order(place: float, sentences: int) -> None:
    told = told_rows(orders())[3]
    moved = told.moved(place, sentences).messages[-1].content
    assert moved.count(told.passage[0]) == 1
    assert moved.startswith("Extract the order as JSON.\n")
    assert moved.count(".") == sentences + 2
    before, _, after = moved.partition(told.passage[0])
    assert before.count(".") - 1 == round(place * sentences)
    assert after.count(".") == sentences - round(place * sentences)
