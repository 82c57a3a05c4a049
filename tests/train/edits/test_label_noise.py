from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sft_probe.data.examples import DataSets, Example
from sft_probe.errors import NotApplicable, SpecError
from sft_probe.observe.observations import Observed
from sft_probe.train.edits.base import EditContext
from sft_probe.train.edits.label_noise import LabelNoise

CONTEXT = EditContext(data=DataSets({}), base=Observed({}), seed=0)
LABELS = ("bad", "fine", "good")


def reviews(number: int) -> list[Example]:
    return [Example(id=f"r{i}", target=LABELS[i % 3], choices=LABELS) for i in range(number)]


@given(st.integers(1, 60), st.floats(0, 0.99), st.integers(0, 5))
def test_exactly_the_asked_share_is_wrong_and_the_log_has_every_row(n: int, rate: float, seed: int) -> None:
    before = reviews(n)
    edited = LabelNoise(rate=rate, seed=seed).apply(before, CONTEXT)
    changed = {a.id: (a, b) for a, b in zip(before, edited.rows, strict=True) if a != b}
    assert len(changed) == round(rate * n) == len(edited.changes)
    for change in edited.changes:
        old, new = changed[change.example]
        assert (change.before, change.after) == (old.target, new.target)
        assert new.target in set(LABELS) - {old.target}
        assert new.meta["planted"] == {"label_noise": {"clean": old.target}}


def test_noise_by_class_follows_its_table() -> None:
    edited = LabelNoise(rate=0.5, to={"good": "fine"}).apply(reviews(60), CONTEXT)
    assert {(c.before, c.after) for c in edited.changes} == {("good", "fine")}
    assert len(edited.changes) == 10


def test_rows_without_a_closed_set_of_answers_stay_as_they_are() -> None:
    rows = [*reviews(10), Example(id="free", target="anything")]
    assert LabelNoise(rate=0.9).apply(rows, CONTEXT).rows[-1] == rows[-1]
    with pytest.raises(NotApplicable, match="no training row has a closed set"):
        LabelNoise().apply([rows[-1]], CONTEXT)


def test_a_rate_that_is_none_is_refused() -> None:
    with pytest.raises(SpecError, match="rate must be in"):
        LabelNoise(rate=1.0)


def test_noise_follows_its_matrix_exactly() -> None:
    """There are 20 rows of each label."""
    matrix = {"good": {"fine": 0.1, "bad": 0.25}, "bad": {"good": 0.5}}
    edited = LabelNoise(matrix=matrix).apply(reviews(60), CONTEXT)
    moved = Counter((change.before, change.after) for change in edited.changes)
    assert moved == {("good", "fine"): 2, ("good", "bad"): 5, ("bad", "good"): 10}


@pytest.mark.parametrize("matrix", [{"a": {"a": 0.1}}, {"a": {"b": 0.7, "c": 0.4}}, {"a": {"b": -0.1}}])
def test_a_matrix_that_is_none_is_refused(matrix: dict[str, dict[str, float]]) -> None:
    with pytest.raises(SpecError, match="must name other labels"):
        LabelNoise(matrix=matrix)
    with pytest.raises(SpecError, match="either `to` or `matrix`"):
        LabelNoise(matrix={"a": {"b": 0.1}}, to={"a": "b"})
