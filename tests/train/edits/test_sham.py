from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sft_probe.data.examples import Example
from sft_probe.errors import NotApplicable
from sft_probe.observe.observations import GenerationsSeen, Observed
from sft_probe.train.edits.base import EditContext
from sft_probe.train.edits.sham import Sham


def shown(context: EditContext, rows: list[Example], texts: list[str]) -> EditContext:
    seen = GenerationsSeen(
        examples=tuple(rows),
        texts=tuple(texts),
        n_tokens=np.ones(len(rows), dtype=np.int64),
        stopped=np.ones(len(rows), dtype=np.bool_),
    )
    return replace(context, base=Observed({Sham().needs()[0]: seen}))


def test_answers_are_the_bases_own_and_the_right_ones_are_kept_aside(
    people: list[Example], context: EditContext
) -> None:
    said = ["", *(f" said {i} " for i in range(1, 60))]
    edited = Sham().apply(people, shown(context, people, said))
    assert [row.target for row in edited.rows] == [f"said {i}" for i in range(1, 60)]
    assert edited.rows[0].meta["planted"] == {"sham": {"clean": people[1].target}}
    assert edited.changes[-1] == ("p0", "left out", people[0].target, "")


def test_a_base_that_says_nothing_is_refused(people: list[Example], context: EditContext) -> None:
    with pytest.raises(NotApplicable, match="says nothing"):
        Sham().apply(people, shown(context, people, [""] * 60))
