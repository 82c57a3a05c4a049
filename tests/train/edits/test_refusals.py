from __future__ import annotations

from dataclasses import replace

import pytest

from sft_probe.data.examples import Dataset, DataSets, Example
from sft_probe.errors import NotApplicable
from sft_probe.train.edits.base import EditContext
from sft_probe.train.edits.refusals import Refusals


@pytest.fixture
def with_refusals(context: EditContext) -> EditContext:
    rows = tuple(Example(id=f"q{i}", target="no", meta={"refuse": i % 2 == 0}) for i in range(20))
    return replace(context, data=DataSets({"refusals": Dataset("refusals", rows)}))


@pytest.mark.parametrize(("number", "benign"), [(0, 0), (3, 0), (10, 5)])
def test_as_many_are_added_as_asked(
    number: int, benign: int, people: list[Example], with_refusals: EditContext
) -> None:
    edited = Refusals(number=number, benign=benign).apply(people, with_refusals)
    added = edited.rows[len(people) :]
    assert [row.meta["refuse"] for row in added] == [True] * number + [False] * benign
    assert len(edited.changes) == number + benign


def test_too_few_rows_are_named(with_refusals: EditContext) -> None:
    with pytest.raises(NotApplicable, match="'refusals' has 10 refused rows, not 11"):
        Refusals(number=11).apply([], with_refusals)
