"""Every format gives the same example, and every broken row is named by file, row and field."""

from __future__ import annotations

from typing import Any

import pytest

from sft_probe import registry
from sft_probe.data.examples import Example, Message
from sft_probe.data.formats import Where, choose
from sft_probe.errors import DataError, UnknownComponent

WHERE = Where("rows.jsonl", 7)
USER = {"role": "user", "content": "Where is the cat?"}
ASSISTANT = {"role": "assistant", "content": "on the sofa"}
ASKED = Example(id="7", messages=(Message("user", "Where is the cat?"),), target="on the sofa")


def read(row: dict[str, Any], name: str = "auto") -> Example:
    return choose(name, [row], WHERE.file)(row, WHERE)


@pytest.mark.parametrize(
    "row",
    [
        {"messages": [USER, ASSISTANT]},
        {"messages": [{**USER, "content": [{"type": "text", "text": "Where is the cat?"}]}, ASSISTANT]},
        {
            "conversations": [
                {"from": "human", "value": USER["content"]},
                {"from": "gpt", "value": "on the sofa"},
            ]
        },
        {"prompt": "Where is the cat?", "completion": "on the sofa"},
        {"prompt": [USER], "completion": [ASSISTANT]},
        {"prompt": "Where is the cat?", "response": "on the sofa"},
        {"question": "Where is the cat?", "answer": "on the sofa"},
        {"input": "Where is the cat?", "output": "on the sofa"},
        {"instruction": "Where is the cat?", "input": "", "output": "on the sofa"},
        {"instruction": "Where is the cat?", "response": "on the sofa", "context": None},
        {"prompt": "ignored", "messages": [USER, ASSISTANT], "answer": "ignored"},
    ],
)
def test_one_example_in_many_shapes(row: dict[str, Any]) -> None:
    assert read(row) == ASKED


def test_plain_text_has_no_question() -> None:
    assert read({"text": "A cat."}) == Example(id="7", target="A cat.")


def test_what_a_row_says_about_itself_is_kept() -> None:
    row = {
        "id": 3,
        "messages": [USER, ASSISTANT],
        "choices": ["on the sofa", "in the garden"],
        "stratum": "known",
        "cluster": "cat",
        "meta": {"wording": 1},
    }
    example = read(row)
    assert (example.id, example.stratum, example.cluster) == ("3", "known", "cat")
    assert example.choices == ("on the sofa", "in the garden")
    assert example.meta == {"wording": 1}


def test_input_system_and_history_all_reach_the_prompt() -> None:
    row = {
        "instruction": "Sum up.",
        "input": "A cat.",
        "output": "cat",
        "system": "Be brief.",
        "history": [["a", "b"]],
    }
    assert read(row).messages == (
        Message("system", "Be brief."),
        Message("user", "a"),
        Message("assistant", "b"),
        Message("user", "Sum up.\n\nA cat."),
    )
    assert read({"context": "A cat.", "question": "Who?", "answer": "cat"}).prompt == "A cat.\n\nWho?"


def test_a_number_as_answer_counts_into_the_choices() -> None:
    row = {"query": "Where?", "choices": ["here", "there"], "gold": 1}
    assert read(row).target == "there"
    with pytest.raises(
        DataError, match=r"rows\.jsonl, row 7, field 'gold': answer 2 counts beyond the 2 choices"
    ):
        read({**row, "gold": 2})


@pytest.mark.parametrize(
    ("row", "name", "message"),
    [
        ({"messages": [USER]}, "auto", r"field 'messages': a conversation needs a question and an answer"),
        ({"messages": [USER, USER]}, "auto", "the last turn is of the user"),
        ({"messages": "hello"}, "auto", "expected a list of turns, found text"),
        ({"messages": None}, "messages", "expected a list of turns, found nothing"),
        (
            {"messages": [{"role": "asistant", "content": "x"}]},
            "auto",
            r"messages\[0\].*Did you mean 'assistant'",
        ),
        (
            {"messages": [{"role": "user", "content": None}]},
            "auto",
            "expected text as content, found nothing",
        ),
        ({"messages": [USER, {**ASSISTANT, "content": [{"type": "image"}]}]}, "auto", r"messages\[1\]"),
        ({"prompt": "x", "completion": 3}, "auto", "field 'completion': expected a list of turns"),
        ({"prompt": "x"}, "prompt_completion", "field 'completion': the field is missing or null"),
        ({"text": ["x"]}, "auto", "field 'text': expected text, found a list"),
        ({"text": "x", "choices": "xy"}, "auto", "field 'choices': expected a list of texts"),
        (
            {"text": "x", "choices": ["y"]},
            "auto",
            "field 'choices': the answer 'x' is not one of the choices",
        ),
        ({"text": "x", "meta": 3}, "auto", "field 'meta': expected a mapping"),
    ],
)
def test_a_broken_row_is_named(row: dict[str, Any], name: str, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        read(row, name)
    assert str(caught.value).startswith("rows.jsonl, row 7")


def test_unknown_fields_are_listed() -> None:
    with pytest.raises(DataError, match=r"rows\.jsonl: no format recognises rows with the fields cat, dog"):
        read({"dog": 1, "cat": 2})


def test_an_unknown_format_is_refused_with_the_nearest() -> None:
    with pytest.raises(UnknownComponent, match="Did you mean 'messages'"):
        choose("mesages", [{}], "rows.jsonl")


def test_most_rows_decide_so_that_one_broken_row_is_named_itself() -> None:
    rows = [{"txt": "x"}, {"text": "y"}, {"text": "z"}]
    with pytest.raises(DataError, match="field 'text': the field is missing"):
        choose("auto", rows, "rows.jsonl")(rows[0], WHERE)


@pytest.mark.parametrize("name", registry.available("formats"))
def test_every_format_says_what_it_reads(name: str) -> None:
    assert registry.load("formats", name).read.__doc__
