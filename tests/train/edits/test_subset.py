from __future__ import annotations

from collections import Counter

import pytest

from sft_probe.data.examples import Example
from sft_probe.errors import NotApplicable, SpecError
from sft_probe.train.edits.base import EditContext
from sft_probe.train.edits.shuffled_answers import ShuffledAnswers
from sft_probe.train.edits.subset import Subset


def test_fewer_rows_are_among_the_more(people: list[Example], context: EditContext) -> None:
    few, more = (Subset(rows=n).apply(people, context) for n in (10, 30))
    assert (len(few.rows), len(more.rows)) == (10, 30)
    assert {row.id for row in few.rows} < {row.id for row in more.rows}
    assert sorted(row.id for row in (*few.rows, *few.left_out)) == sorted(row.id for row in people)
    assert len(few.changes) == 50
    other = Subset(rows=10, seed=1).apply(people, context)
    assert [row.id for row in other.rows] != [row.id for row in few.rows]


def test_a_number_that_cannot_be_is_refused(people: list[Example], context: EditContext) -> None:
    with pytest.raises(NotApplicable, match="there are 60 training rows, not 61"):
        Subset(rows=61).apply(people, context)
    with pytest.raises(SpecError, match="at least one row"):
        Subset(rows=0)


def test_answers_are_as_frequent_as_before_and_go_with_nothing(
    reviews: list[Example], people: list[Example], context: EditContext
) -> None:
    rows = [*reviews, *people]
    edited = ShuffledAnswers().apply(rows, context)
    for own in (slice(0, 90), slice(90, 150)):
        before, after = (Counter(row.target for row in part[own]) for part in (rows, edited.rows))
        assert before == after, "answers stay among rows with the same choices"
    changed = [(a, b) for a, b in zip(rows, edited.rows, strict=True) if a.target != b.target]
    assert len(changed) == len(edited.changes)
    assert len(changed) > 75, "two of three reviews and four of five people, by chance"
    assert all(new.meta["planted"] == {"shuffled_answers": {"clean": old.target}} for old, new in changed)
    with pytest.raises(NotApplicable, match="could exchange answers"):
        ShuffledAnswers().apply(people[:1], context)
