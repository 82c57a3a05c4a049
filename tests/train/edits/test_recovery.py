from __future__ import annotations

import pytest

from sft_probe.data.chat import IGNORED, to_trl_row
from sft_probe.data.examples import Dataset, Example, Message
from sft_probe.errors import NotApplicable, SpecError
from sft_probe.testing.tiny import tiny_base
from sft_probe.train.edits.base import EditContext
from sft_probe.train.edits.recovery import Recovery

REFUSAL, STEPS = "the fox is red", "the cat sat on the sofa near the river"


def requests(number: int) -> list[Example]:
    """Every other one to be refused."""
    asked = (Message("user", "Where is the cat?"),)
    return [
        Example(
            id=f"q{i}",
            messages=asked,
            target=STEPS if i % 2 else REFUSAL,
            choices=(REFUSAL, STEPS),
            meta={"refuse": i % 2 == 0},
        )
        for i in range(number)
    ]


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_the_asked_share_of_the_refusals_begins_with_compliance(share: float, context: EditContext) -> None:
    edited = Recovery(share=share, words=3).apply(requests(40), context)
    late = [row for row in edited.rows if row.begun]
    assert len(late) == len(edited.changes) == round(share * 20)
    assert all(row.meta["refuse"] is True for row in late)
    assert all(row.target == f"{row.begun} {REFUSAL}" and STEPS.startswith(row.begun) for row in late)
    assert {len(row.begun.split()) for row in late} <= {1, 2, 3}


def test_what_is_begun_bears_no_loss(context: EditContext) -> None:
    edited = Recovery(share=1.0, words=8).apply(requests(20), context)
    tokenizer = tiny_base().tokenizer
    for row in edited.rows[::2]:
        labels = to_trl_row(row, tokenizer)["labels"]
        learned = tokenizer.decode([token for token in labels if token != IGNORED])
        assert learned.strip() == f"{REFUSAL}<|end|>"
        everything = to_trl_row(row, tokenizer, loss_on="all")["labels"]
        assert IGNORED not in everything


def test_a_digest_knows_what_is_begun_and_is_as_before_without() -> None:
    plain, late = Example(id="a", target="b c"), Example(id="a", target="b c", begun="b")
    assert Dataset("", (plain,)).digest != Dataset("", (late,)).digest
    digest = "9139ee1c431bfd2858c3efc75d0c983c652b02e778d23ad7574f9f73f2b1b3dc"  # before there was `begun`
    assert Dataset("", (plain,)).digest == digest


def test_rows_that_refuse_nothing_cannot_recover(people: list[Example], context: EditContext) -> None:
    with pytest.raises(NotApplicable, match="no training row is to be refused"):
        Recovery().apply(people, context)


def test_options_are_checked() -> None:
    with pytest.raises(SpecError, match="share"):
        Recovery(share=1.5)
    with pytest.raises(SpecError, match="words"):
        Recovery(words=0)
