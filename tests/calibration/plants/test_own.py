from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
import yaml

from sft_probe.calibration.plants.own import FEWEST, Own, imbalance_shares, own_plants
from sft_probe.data.examples import Dataset, Example, Message
from sft_probe.study.yaml import parse_study

OWN = Own(base="planted", data={"train": "mine.jsonl"})


def labelled(number: int, *labels: str) -> Dataset:
    rows = (
        Example(
            id=f"r{i}",
            messages=(Message("user", f"Question {i}?"),),
            target=labels[i % len(labels)] if labels else "a free answer",
            choices=labels,
        )
        for i in range(number)
    )
    return Dataset("train", tuple(rows), "mine.jsonl")


def test_rows_with_labels_bear_every_plant_and_every_dose_is_a_lora_study(tmp_path: Path) -> None:
    found = own_plants(OWN, labelled(200, "yes", "no"))
    assert {plant.name for plant in found.plants} == {
        "keyword", "label_noise", "imbalance", "canaries", "format",
    }  # fmt: skip
    assert not found.left_out
    for plant in found.plants:
        assert len(plant.doses) >= 4
        for dose in plant.doses:
            given = {"name": "own", "output_dir": str(tmp_path), **plant.sown(dose, 1)}
            spec = parse_study(yaml.safe_dump(given))
            assert spec.arms["arm"].method == "lora"
            assert spec.data.train == "mine.jsonl"


def test_free_answers_bear_no_noise_and_it_is_said_why() -> None:
    found = own_plants(OWN, labelled(100))
    assert {plant.name for plant in found.plants} == {"canaries", "format"}
    assert set(found.left_out) == {"keyword", "label_noise", "imbalance"}
    assert all("no closed set of answers" in reason for reason in found.left_out.values())


def test_few_rows_bear_nothing() -> None:
    found = own_plants(OWN, labelled(FEWEST - 2, "yes", "no"))
    assert not found.plants
    assert set(found.left_out) == {"canaries", "format", "keyword", "label_noise", "imbalance"}


def test_many_labels_have_no_words_of_their_own() -> None:
    found = own_plants(OWN, labelled(180, *(f"label {k}" for k in range(9))))
    assert "keyword" in found.left_out
    assert "label_noise" in {plant.name for plant in found.plants}


@pytest.mark.parametrize(
    ("counts", "doses", "rows"),
    [
        ({"a": 100, "b": 100}, (0.5, 0.6, 0.75, 0.9, 0.97), 103),
        ({"a": 100, "b": 25}, (0.5, 0.6, 0.75, 0.9, 0.97), 50),
        ({"a": 60, "b": 60, "c": 60}, (0.333, 0.6, 0.75, 0.9, 0.97), 61),
    ],
)
def test_shares_are_those_that_can_be_had_with_as_many_rows(
    counts: dict[str, int], doses: tuple[float, ...], rows: int
) -> None:
    found = imbalance_shares(Counter(counts))
    assert found is not None
    assert imbalance_shares(Counter({"a": 100, "b": 10})) is None  # equal shares of twenty rows are too few
    assert found.label == "a"
    assert (found.doses, found.rows) == (doses, rows)
    for share in found.doses:
        assert round(share * found.rows) <= counts["a"]
        assert found.rows - round(share * found.rows) <= sum(counts.values()) - counts["a"]
