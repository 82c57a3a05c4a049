"""The examples of docs/in_your_code.md run as they stand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sft_probe.report.opened import open_runs
from sft_probe.schema import TRAINING

from .pages import blocks_of, run_page

PAGE = "docs/in_your_code.md"


@pytest.fixture(scope="module")
def ran(place: Path) -> dict[str, Any]:
    """Every block of the page, run in order in one namespace."""
    assert [block.language for block in blocks_of(PAGE)] == ["python"] * 7 + ["sh"]
    return run_page(PAGE)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("folder", "run", "steps", "followed"),
    [
        ("runs/trainer", "full-seed0", [0, 1, 3, 4], [1, 2, 3, 4]),
        ("runs/trl", "sft-seed0", [0, 1, 3, 4], [1, 2, 3, 4]),
        ("runs/trl", "dpo-seed0", [0, 1, 2], [1, 2]),
        ("runs/loop", "loop-seed0", [0, 1, 2, 4], []),
    ],
)
def test_every_training_is_watched(
    ran: dict[str, Any], place: Path, folder: str, run: str, steps: list[int], followed: list[int]
) -> None:
    rows = open_runs(place / folder).measurements.query(f"run == '{run}'")
    looks = rows[rows.probe != TRAINING]
    assert sorted(looks.step.unique()) == steps
    assert sorted(rows[rows.probe == TRAINING].step.unique()) == followed
    moved = looks[(looks.metric == "relative_norm") & (looks.module == "all") & (looks.layer == -1)]
    by_step = moved.set_index("step").value
    assert by_step[0] == 0
    assert by_step[steps[-1]] > by_step[1] > 0


@pytest.mark.slow
def test_the_loops_own_log_is_kept(ran: dict[str, Any], place: Path) -> None:
    log = open_runs(place / "runs/loop").train_log
    assert list(log.step) == [1, 2, 3, 4]
    assert set(log.metric) == {"loss"}


@pytest.mark.slow
def test_a_finished_model_shows_what_the_loop_showed_at_its_end(ran: dict[str, Any], place: Path) -> None:
    def last(runs: Any) -> dict[str, float]:
        rows = runs.measurements.query("metric == 'relative_norm' and step > 0")
        rows = rows[rows.step == rows.step.max()]
        return dict(zip(rows.layer.astype(str) + rows.module, rows.value, strict=True))

    probed = last(ran["finished"])
    assert len(probed) > 1
    assert probed == pytest.approx(last(open_runs(place / "runs/loop")), rel=1e-5)
    assert set(ran["memory"].measurements.arm) == {"base", "loop"}
    assert set(ran["studied"].measurements.arm) == {"base", "full"}


@pytest.mark.slow
def test_a_host_watches_one_training_only(ran: dict[str, Any]) -> None:
    with pytest.raises(ran["sft_probe"].InputError, match="Call `watch` again"):
        ran["host"].log(5, {"loss": 1.0})


@pytest.mark.slow
def test_the_card_is_of_the_run_above(ran: dict[str, Any], place: Path) -> None:
    assert "model-index" in (place / "CARD.md").read_text("utf-8")
