from __future__ import annotations

from pathlib import Path

import pytest

from sft_probe.cli.main import main
from sft_probe.cli.repair import text
from sft_probe.execute.repair import Judged, Repair
from sft_probe.stats.intervals import Interval


def test_what_was_found_is_said_in_tables() -> None:
    half = Interval(value=0.5, low=0.4, high=0.6)
    scores = {"world_facts": Interval(value=-1.25)}
    judged = Judged(restored=half, kept=half, exact=half, right=half, scores=scores)
    found = Repair(
        run="full-seed0",
        blocks=((1, "mlp"), (0, "embedding")),
        alpha=0.7,
        written="blocks",
        lost=("world_facts",),
        models=dict.fromkeys(("base", "tuned", "blocks", "wise"), judged),
    )
    said = text(found)
    assert "mlp of layer 1, embedding of layer 0" in said
    assert "base + 0.7 (tuned - base)" in said
    assert "| blocks reset | 50 (40 to 60) | 50 (40 to 60) | 50 (40 to 60) | 50 (40 to 60) |" in said
    assert "| world_facts | -1.25 | -1.25 | -1.25 | -1.25 |" in said


def test_a_run_without_its_model_is_refused(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = folder / "runs" / "lora-seed1"
    (folder / "study.yaml").write_text("name: x\n")
    assert main(["repair", str(run), "-o", str(tmp_path / "new")]) == 3
    assert "was not kept. Run the study again with save_model: true." in capsys.readouterr().err
