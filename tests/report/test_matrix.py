"""Arms and probes at a glance, and the arm that others are set against."""

from __future__ import annotations

from pathlib import Path

import pytest

from sft_probe.errors import SpecError
from sft_probe.report.findings import Findings, find
from sft_probe.report.material import load
from sft_probe.report.matrix import matrices, matrix_table
from sft_probe.report.words import Words


def test_every_arm_has_a_cell_for_every_probe_that_measures_the_whole_model(found: Findings) -> None:
    base, reference = matrices(found)
    assert (base.against, reference.against) == ("base", "reference")
    assert [arm.name for arm in base.arms] == ["full", "full_high", "lora"]
    assert [arm.name for arm in reference.arms] == ["full_high", "lora"]
    assert {row.place.probe for row in base.rows} == {
        "task_alignment",
        "format_adherence",
        "forgetting",
        "token_shift",
    }


def test_cells_agree_with_the_findings(found: Findings) -> None:
    (base, _) = matrices(found)
    row = next(row for row in base.rows if row.place.metric == "exact_match")
    for name, change in found.learned.items():
        assert tuple(row.differences[name].change.estimate) == pytest.approx(tuple(change.estimate))
        assert row.differences[name].good == 1


def test_the_reference_is_subtracted(found: Findings) -> None:
    base, reference = matrices(found)
    change, against = (
        next(row for row in m.rows if row.place.metric == "exact_match") for m in (base, reference)
    )
    differ = against.differences["full_high"].change.estimate.value
    assert differ == pytest.approx(
        change.differences["full_high"].change.estimate.value
        - change.differences["full"].change.estimate.value
    )


def test_marks_stand_in_a_column_of_their_own_if_there_are_any(found: Findings) -> None:
    plain = matrix_table(matrices(found)[0], found, Words())
    marked = matrix_table(matrices(found, {"forgetting": "certified"})[0], found, Words())
    assert [c.key for c in plain.columns] == ["probe", "measure", "dataset", "full", "full_high", "lora"]
    assert [c.key for c in marked.columns][3] == "certificate"
    assert {row[3].text for row in marked.rows} == {"", "certified"}


def test_shown_cells_carry_a_sign_that_needs_no_colour(found: Findings) -> None:
    table = matrix_table(matrices(found)[0], found, Words())
    cells = [cell for row in table.rows for cell in row[3:]]
    assert {cell.tone for cell in cells if "▲" in cell.text or "▼" in cell.text} == {"good", "bad", "moved"}
    assert not [cell for cell in cells if cell.tone and not {"▲", "▼"} & set(cell.text)]


def test_another_arm_can_be_the_reference(study: Path) -> None:
    found = find(load(study, reference="lora"))
    assert [arm.name for arm in matrices(found)[1].arms] == ["full", "full_high"]
    with pytest.raises(SpecError, match=r"no run of an arm 'lorra' is finished. Did you mean 'lora'\?"):
        load(study, reference="lorra")
