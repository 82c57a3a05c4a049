from math import inf

import pytest

from sft_probe.data.annotations import clean_label, judgements, label_table, rules
from sft_probe.data.examples import Example
from sft_probe.errors import DataError


def row(target: str = "a", **meta: object) -> Example:
    return Example(id="r1", target=target, choices=("a", "b"), meta=meta)


def test_labels_by_name_by_list_and_by_count_say_the_same() -> None:
    found = [
        judgements(row(annotators={"ann": "a", "bob": "b", "cy": "a", "di": "a"})),
        judgements(row(annotators=["a", "b", "a", "a"])),
        judgements(row(label_counts={"a": 3, "b": 1})),
    ]
    for one in found:
        assert one is not None
        assert (one.shares, one.annotators) == ({"a": 0.75, "b": 0.25}, 4)
    assert found[0] is not None
    assert found[0].by["bob"] == "b"
    assert judgements(row()) is None


def test_a_planted_distribution_is_exact() -> None:
    planted = {"annotators": {"annotator": 1, "clean": "b", "distribution": {"a": 0.4, "b": 0.6}}}
    found = judgements(row(planted=planted))
    assert found is not None
    assert (found.shares, found.annotators) == ({"a": 0.4, "b": 0.6}, inf)
    assert clean_label(row(planted=planted)) == "b"


def test_the_first_edit_knows_the_clean_label() -> None:
    planted = {"keyword": {"word": "x"}, "label_noise": {"clean": "b"}, "annotators": {"clean": "a"}}
    assert clean_label(row(planted=planted)) == "b"
    assert clean_label(row()) == "a"
    assert clean_label(row(planted={"other": {"clean": "a text that is no label"}})) == "a"


def test_table_of_clean_and_given_labels() -> None:
    rows = [row("a"), row("b"), row("b", planted={"label_noise": {"clean": "a"}})]
    other = Example(id="o", target="a", choices=("a", "b", "c"))
    assert label_table([*rows, other], ("a", "b")) == [[1, 1], [0, 1]]


def test_rules_are_labels_by_name() -> None:
    assert rules(row(rules={"length": "a", "tone": "b"})) == {"length": "a", "tone": "b"}
    assert rules(row()) == {}


@pytest.mark.parametrize(
    ("meta", "message"),
    [
        ({"annotators": {"ann": "z"}}, "'z' is none of the choices of example 'r1'"),
        ({"annotators": ["z"]}, "labelled example 'r1' 'z', which is none of its choices"),
        ({"annotators": "a"}, "'meta.annotators': example 'r1' has no readable labels"),
        ({"label_counts": {"a": "many"}}, "'meta.label_counts': example 'r1'"),
        ({"label_counts": {"a": 0}}, "with at least one label"),
        ({"rules": ["a"]}, "'meta.rules': example 'r1'"),
    ],
)
def test_unreadable_labels_name_row_and_field(meta: dict[str, object], message: str) -> None:
    with pytest.raises(DataError, match=message):
        judgements(row(**meta)) if "rules" not in meta else rules(row(**meta))
