"""The page of claims names probes, metrics and plants that exist, and leaves none out that it must have."""

from __future__ import annotations

import re

import pytest

from sft_probe.calibration.plants import PLANTS
from sft_probe.calibration.plants.classes import CLASSES
from sft_probe.registry import available, load

from .pages import ROOT, text_of

PAGE = text_of("docs/claims.md")
SECTIONS = {part.partition("\n")[0]: part for part in text_of("docs/probes.md").split("\n## ")[1:]}
ALWAYS = {"training_dynamics", "relearning"}  # followed without being asked for, by training and by `revive`
OURS = {name for name, entry in available("probes").items() if entry.value.startswith("sft_probe.")}
ROWS = [
    cells
    for line in PAGE.splitlines()
    if len(cells := [cell.strip() for cell in line.strip("|").split(" | ")]) == 4 and "probes.md#" in cells[1]
]
TOOL = {"performance", "statistics"}  # they ask about the tool itself


def _probes(cell: str) -> set[str]:
    return set(re.findall(r"probes\.md#(\w+)", cell))


def test_every_probe_exists_and_every_probe_of_what_is_there() -> None:
    named = set().union(*(_probes(cells[1]) for cells in ROWS))
    assert named <= OURS | ALWAYS
    assert {name for name in OURS if load("probes", name).about.axis == "what"} <= named


@pytest.mark.parametrize("cells", ROWS, ids=lambda cells: cells[0])
def test_metrics_and_plants_of_a_claim_exist(cells: list[str]) -> None:
    known = set().union(
        *(re.findall(r"^\| `(\w+)` \|", SECTIONS[name], flags=re.MULTILINE) for name in _probes(cells[1]))
    )
    metrics = set(re.findall(r"`(\w+)`", cells[1]))
    assert metrics
    assert metrics <= known
    assert set(re.findall(r"`(\w+)`", cells[2])) <= {plant.name for plant in PLANTS} | {CLASSES, "none"}


@pytest.mark.parametrize("plant", [*(plant.name for plant in PLANTS), CLASSES])
def test_every_plant_validates_some_claim(plant: str) -> None:
    assert any(f"`{plant}`" in cells[2] for cells in ROWS)


def test_what_was_found_has_a_source() -> None:
    """A figure without a link to a committed report, decision or calibration is a rumour."""
    unsourced = [cells[0] for cells in ROWS if re.search(r"\d", cells[3]) and "](" not in cells[3]]
    assert not unsourced


def test_every_analysis_has_a_row() -> None:
    there = {path.parent.name for path in (ROOT / "analyses").glob("*/README.md")} - TOOL
    table = PAGE.partition("## Analyses")[2]
    assert not [
        name for name in sorted(there) if not re.search(rf"^\| \[?`?{name}`?\b", table, flags=re.MULTILINE)
    ]


def test_an_outcome_is_marked_once() -> None:
    marked = re.findall(r"<!-- outcome: (\w+) -->", PAGE)
    assert len(marked) == len(set(marked)) == 9
