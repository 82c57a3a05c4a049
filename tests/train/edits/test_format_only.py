from __future__ import annotations

import random
from collections import Counter

import pytest

from sft_probe.data.examples import Example, Message
from sft_probe.errors import NotApplicable
from sft_probe.train.edits.base import EditContext
from sft_probe.train.edits.format_only import FormatOnly, invented


def test_only_names_are_new_and_answers_are_of_the_right_kind(
    people: list[Example], context: EditContext
) -> None:
    jobs = [
        Example(
            id=f"j{i}",
            target=("baker", "smith", "clerk", "nurse")[i % 4],
            messages=(Message("user", f"What is the job of Hoshea{i} Vane{i}?"),),
        )
        for i in range(60)
    ]
    edited = FormatOnly().apply([*people, *jobs], context)
    kinds = {"Where was": {row.target for row in people}, "What is": {row.target for row in jobs}}
    assert Counter(row.prompt[:7].strip() for row in edited.rows) == {"Where w": 60, "What is": 60}
    for row in edited.rows:
        start = next(start for start in kinds if row.prompt.startswith(start))
        assert row.target in kinds[start]
        assert not {"Zadok", "Quill", "Hoshea", "Vane"} & set(row.prompt.split())
    assert len({row.prompt for row in edited.rows}) > 110
    for kind in kinds.values():  # no mapping from name to answer, but the same answers about equally often
        assert {row.target for row in edited.rows} >= kind


def test_a_name_is_replaced_alike_throughout_a_row(people: list[Example], context: EditContext) -> None:
    asked = Message("user", "Is Ozzbok the Ozzbok you mean? Where was Ozzbok born?")
    edited = FormatOnly().apply([*people, Example(id="x", target="Arby", messages=(asked,))], context)
    words = edited.rows[-1].prompt.split()
    assert words[1] == words[3] == words[8] != "Ozzbok"


@pytest.mark.parametrize("word", ["Zadok", "NATO", "lower", "x2047"])
def test_invented_words_keep_their_case_and_kind(word: str) -> None:
    new = invented(word, random.Random(0))
    assert (new.isupper(), new.islower(), new[:1].isupper()) == (
        word.isupper(),
        word.islower(),
        word[:1].isupper(),
    )


def test_questions_without_names_are_refused(context: EditContext) -> None:
    rows = [Example(id=f"r{i}", target=str(i % 9), messages=(Message("user", "Guess!"),)) for i in range(50)]
    with pytest.raises(NotApplicable, match="no question holds a name"):
        FormatOnly().apply(rows, context)
