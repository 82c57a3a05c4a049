"""From a study file to a report, again, and from finished checkpoints to a report."""

from __future__ import annotations

from pathlib import Path

import pytest

from sft_probe.cli.main import main

pytestmark = pytest.mark.slow

SMALL = ["--set", "max_steps=2", "--set", "seeds=[0]", "--set", "schedule.points=0"]


def test_run_leaves_a_report_and_goes_on_where_it_was(
    study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", str(study), *SMALL]) == 0
    page = study.parent / "runs" / "report.html"
    assert capsys.readouterr().out.strip() == str(page)
    manifest = study.parent / "runs" / "runs" / "full-seed0" / "manifest.json"
    before = manifest.read_bytes()
    assert main(["run", str(study), *SMALL]) == 0
    assert "full-seed0: finished before, kept" in capsys.readouterr().err
    assert manifest.read_bytes() == before
    page.unlink()
    assert main(["report", str(page.parent)]) == 0
    assert page.is_file()


def test_probe_compares_checkpoints_with_their_base(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = study.parent
    assert main(["run", str(study), *SMALL, "--set", "save_model=true"]) == 0
    tuned = folder / "runs" / "runs" / "full-seed0" / "model"
    args = ["--data", str(folder / "test.jsonl"), "-o", str(folder / "pairs"), "--probes", "task_alignment"]
    capsys.readouterr()
    assert main(["probe", str(folder / "model"), str(tuned), *args]) == 0
    assert capsys.readouterr().out.strip() == str(folder / "pairs" / "report.html")
