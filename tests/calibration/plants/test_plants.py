"""Whether every plant can be sown at every dose, and its numbers be found in what a cell leaves."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from math import isnan
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from sft_probe.calibration.plants import PLANTS, Plant, Reading
from sft_probe.registry import available
from sft_probe.study.spec import StudySpec
from sft_probe.study.yaml import parse_study

EACH = pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: plant.name)
ASKED_FOR = {
    "keyword", "label_noise", "class_noise", "imbalance", "canaries", "refusals", "unknown_facts", "format",
    "replay", "conflicts", "domain", "context", "annotators", "association", "drift",
}  # fmt: skip


def study(plant: Plant, dose: float, seed: int, folder: Path, **changes: Any) -> StudySpec:
    given = {"name": plant.name, "output_dir": str(folder), **plant.sown(dose, seed), **changes}
    return parse_study(yaml.safe_dump(given))


def test_every_effect_of_the_issue_is_planted_once() -> None:
    names = Counter(plant.name for plant in PLANTS)
    assert set(names) >= ASKED_FOR
    assert max(names.values()) == 1
    assert sum(plant.seeds == 5 for plant in PLANTS) >= 3


@EACH
def test_doses_ascend_from_the_null(plant: Plant) -> None:
    assert len(plant.doses) >= 5
    assert list(plant.doses) == sorted(set(plant.doses))
    assert plant.seeds >= 3


@EACH
def test_every_dose_is_a_study_of_one_arm(plant: Plant, tmp_path: Path) -> None:
    read = {reading.probe for reading in plant.readings}
    for dose in plant.doses:
        spec = study(plant, dose, 3, tmp_path)
        assert list(spec.arms) == ["arm"]
        assert spec.seeds == (3,)
        assert read <= {probe.name for probe in spec.probes}


@EACH
def test_doses_differ_in_their_arm_alone(plant: Plant) -> None:
    """So that cells of a plant can share one look at the base."""
    shared = [{k: v for k, v in plant.sown(dose, 0).items() if k != "arms"} for dose in plant.doses]
    assert all(one == shared[0] for one in shared)
    arms = [plant.sown(dose, 0)["arms"] for dose in plant.doses]
    assert all(a != b for a, b in pairwise(arms))


@EACH
def test_what_is_planted_goes_by_the_seed(plant: Plant) -> None:
    one, other = (plant.sown(plant.doses[2], seed) for seed in (0, 1))
    assert one["data_seed"] != other["data_seed"]
    for edit in one["arms"]["arm"].get("edits", ()):
        assert all(options["seed"] == 0 for options in edit.values())


@EACH
def test_what_may_react_is_a_probe_with_a_reason(plant: Plant) -> None:
    probes = available("probes")
    assert {reading.probe for reading in plant.readings} <= set(probes)
    assert set(plant.expected) <= set(probes)
    assert all(reason.endswith(".") for reason in plant.expected.values())


@EACH
def test_estimates_of_the_dose_rise_with_the_number(plant: Plant) -> None:
    for reading in plant.readings:
        if reading.recover:
            low, high = sorted((reading.recover(0.1), reading.recover(0.4)), reverse=reading.sign < 0)
            assert low < high


def rows(**columns: Any) -> pd.DataFrame:
    common = {"probe": "p", "metric": "m", "dataset": "test", "stratum": "", "module": "", "layer": -1}
    return pd.DataFrame([{**common, "step": 0, "value": 9.0}, {**common, "step": 5, "value": 1.0, **columns}])


def test_a_reading_is_the_last_number_of_its_place() -> None:
    reading = Reading(probe="p", metric="m")
    assert reading.value(rows(), 0.5) == 1.0
    assert isnan(reading.value(rows(stratum="4 times"), 4))
    by_dose = Reading(probe="p", metric="m", stratum="{dose} times")
    assert by_dose.value(rows(stratum="4 times"), 4.0) == 1.0
    assert isnan(Reading(probe="p", metric="m", dataset="train").value(rows(), 0.5))
    assert Reading(probe="p", metric="m", layer=-1).value(rows(), 0.5) == 1.0
    twice = pd.concat([rows(), rows(dataset="other")])
    with pytest.raises(ValueError, match="2 rows answer"):
        reading.value(twice, 0.5)


@pytest.mark.slow
@pytest.mark.parametrize(
    "plant",
    [pytest.param(p, id=p.name, marks=() if p.quick else pytest.mark.sweep) for p in PLANTS],
)
def test_the_numbers_are_in_what_a_cell_leaves(plant: Plant, tmp_path: Path) -> None:
    """Two steps are enough to see where the numbers stand; at the null dose and at the highest."""
    from sft_probe.execute.local import run_study
    from sft_probe.store.runs import RunStore

    ends = {"null": plant.doses[0], "top": plant.doses[-1]}
    arms = {name: {**plant.sown(dose, 0)["arms"]["arm"], "max_steps": 2} for name, dose in ends.items()}
    run_study(study(plant, plant.doses[0], 0, tmp_path, arms=arms))
    found = RunStore(tmp_path).measurements()
    for name, dose in ends.items():
        for reading in plant.readings:
            assert not isnan(reading.value(found[found.arm == name], dose)), reading
