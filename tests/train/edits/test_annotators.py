from __future__ import annotations

from dataclasses import replace

import pytest

from sft_probe.data.annotations import clean_label, judgements
from sft_probe.data.examples import Example
from sft_probe.errors import NotApplicable, SpecError
from sft_probe.train.edits.annotators import Annotators
from sft_probe.train.edits.base import EditContext


def test_labels_follow_the_planted_distribution(reviews: list[Example], context: EditContext) -> None:
    many = [row for row in reviews for _ in range(40)]
    edited = Annotators(weights=(0.75, 0.25), disagree=0.4).apply(many, context)
    good = [row for row in edited.rows if clean_label(row) == "good"]
    said = judgements(good[0])
    assert said is not None
    assert said.shares == pytest.approx({"good": 0.6, "bad": 0.3, "fine": 0.1})
    for label, share in said.shares.items():
        assert sum(row.target == label for row in good) / len(good) == pytest.approx(share, abs=0.05)
    assert len(edited.changes) == sum(row.target != clean_label(row) for row in edited.rows)


def test_named_annotators_label_as_they_did(reviews: list[Example], context: EditContext) -> None:
    said = {"ann": "good", "ben": "bad"}
    many = [replace(row, meta={"annotators": said}) for row in reviews for _ in range(60)]
    edited = Annotators(names=("ann", "ben"), weights=(0.75, 0.25)).apply([*reviews[:1], *many], context)
    assert edited.rows[0] == reviews[0]
    labels = [row.target for row in edited.rows[1:]]
    assert labels.count("good") / len(labels) == pytest.approx(0.75, abs=0.06)
    assert labels.count("good") + labels.count("bad") == len(labels)
    truth = edited.rows[1].meta["planted"]["annotators"]  # type: ignore[index]
    assert truth["distribution"] == {"good": 0.75, "bad": 0.25, "fine": 0}
    with pytest.raises(NotApplicable, match="a label of each annotator"):
        Annotators(names=("ann", "cy"), weights=(0.5, 0.5)).apply(many, context)
    with pytest.raises(SpecError, match="needs a weight"):
        Annotators(names=("ann",))


def test_without_disagreement_nothing_changes(reviews: list[Example], context: EditContext) -> None:
    assert Annotators(disagree=0.0).apply(reviews, context).changes == ()


def test_what_cannot_be_is_refused(people: list[Example], context: EditContext) -> None:
    with pytest.raises(SpecError, match="sum to 1"):
        Annotators(weights=(0.5, 0.4))
    with pytest.raises(NotApplicable, match="cannot disagree"):
        Annotators().apply(people, context)
