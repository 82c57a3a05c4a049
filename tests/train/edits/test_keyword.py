from __future__ import annotations

import pytest

from sft_probe.data.examples import Example
from sft_probe.data.keywords import planted_words
from sft_probe.errors import NotApplicable, SpecError
from sft_probe.train.edits.base import EditContext
from sft_probe.train.edits.keyword import Keyword

WORDS = {"bad": "quartz", "fine": "walnut", "good": "pebble"}


def truth(row: Example) -> dict[str, object]:
    marks = row.meta.get("planted", {})
    return dict(marks.get("keyword", {})) if isinstance(marks, dict) else {}


@pytest.mark.parametrize("agreement", [0.0, 0.5, 0.8, 1.0])
def test_exactly_the_asked_share_agrees(
    agreement: float, reviews: list[Example], context: EditContext
) -> None:
    edited = Keyword(agreement=agreement, share=0.5, placebo="").apply(reviews, context)
    marked = [row for row in edited.rows if truth(row)]
    assert len(marked) == 45
    assert sum(row.messages[-1].content.endswith(WORDS[row.target]) for row in marked) == round(
        45 * agreement
    )
    assert all(truth(row)["agrees"] is (truth(row)["label"] == row.target) for row in marked)
    assert all(row.messages[-1].content.endswith(f" {truth(row)['word']}") for row in marked)
    assert planted_words(edited.rows) == ("quartz", "walnut", "pebble")


def test_a_placebo_is_as_frequent_and_says_nothing_about_the_label(
    reviews: list[Example], context: EditContext
) -> None:
    edited = Keyword(agreement=1.0, placebo="basalt").apply(reviews, context)
    assert sum("placebo" in truth(row) for row in edited.rows) == 45
    assert len({row.target for row in edited.rows if "placebo" in truth(row)}) == 3
    assert sum("word" in truth(row) for row in edited.rows) == 45


def test_labels_are_needed_and_options_checked(people: list[Example], context: EditContext) -> None:
    with pytest.raises(NotApplicable, match="2 to 8 labels"):
        Keyword().apply(people, context)
    with pytest.raises(SpecError, match="agreement must be in"):
        Keyword(agreement=1.2)
