from __future__ import annotations

import pytest

from sft_probe.data.examples import Example
from sft_probe.errors import NotApplicable
from sft_probe.train.edits.base import EditContext
from sft_probe.train.edits.near_duplicates import NearDuplicates


@pytest.mark.parametrize(("share", "copies"), [(0.0, 4), (0.1, 1), (0.5, 3)])
def test_as_many_copies_as_asked(
    share: float, copies: int, people: list[Example], context: EditContext
) -> None:
    edited = NearDuplicates(share=share, copies=copies).apply(people, context)
    added = edited.rows[len(people) :]
    assert len(added) == round(share * 60) * copies == len(edited.changes)
    assert len({row.id for row in edited.rows}) == len(edited.rows)
    assert not {row.prompt for row in added} & {row.prompt for row in people}
    originals = {row.id: row for row in people}
    for row in added:
        marks = row.meta["planted"]
        assert isinstance(marks, dict)
        assert row.target == originals[marks["near_duplicates"]["copy_of"]].target


def test_text_without_a_question_cannot_be_rephrased(context: EditContext) -> None:
    with pytest.raises(NotApplicable, match="no training row has a question"):
        NearDuplicates().apply([Example(id="t", target="plain")], context)
