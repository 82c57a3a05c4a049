from __future__ import annotations

import pytest

from sft_probe.data.examples import DataSets, Example, Message
from sft_probe.errors import SpecError
from sft_probe.observe.observations import Observed
from sft_probe.train.edits.base import EditContext
from sft_probe.train.edits.other_form import OtherForm


def test_the_answer_stands_in_a_sentence_and_the_truth_beside_it() -> None:
    row = Example(id="q", target="Oslo", messages=(Message("user", "Where?"),), choices=("Oslo", "Rome"))
    context = EditContext(data=DataSets({}), base=Observed({}), seed=0)
    (new,), (change,), _ = OtherForm(wording="It is {answer}.").apply([row], context)
    assert (new.target, new.choices, new.messages) == ("It is Oslo.", (), row.messages)
    assert new.meta["planted"] == {"other_form": {"clean": "Oslo"}}
    assert (change.before, change.after) == ("Oslo", "It is Oslo.")


def test_a_wording_without_a_place_is_refused() -> None:
    with pytest.raises(SpecError, match=r"needs \{answer\}"):
        OtherForm(wording="It is.")
