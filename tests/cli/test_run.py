"""From a study file to a report, again, and from finished checkpoints to a report."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sft_probe.cli.main import STOPPED, main

pytestmark = pytest.mark.slow

HEEDING = (
    "import signal, sys; from sft_probe.cli.main import main; "
    "signal.signal(signal.SIGINT, signal.default_int_handler); sys.exit(main(sys.argv[1:]))"
)
"""The command as in a terminal: in the background of a shell, and so in some CI, Ctrl-C would be ignored."""
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


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_stops_cleanly_and_says_how_to_go_on(
    study: Path, how: signal.Signals, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [sys.executable, "-c", HEEDING, "run", str(study), "--set", "seeds=[0]"]
    runs = study.parent / "runs" / "runs"
    with subprocess.Popen(
        [*command, "--set", "max_steps=100000"], stderr=subprocess.PIPE, text=True
    ) as process:
        while not list(runs.glob("full-seed0/parts/*/*.training_dynamics.parquet")):
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(how)
        _, said = process.communicate()
    assert process.returncode == 1
    assert said.endswith(f"{STOPPED}\n")
    assert "Traceback" not in said
    assert not list(study.parent.rglob("*.tmp"))
    base = (runs / "base" / "manifest.json").read_bytes()
    assert main(["run", str(study), *SMALL]) == 0
    assert (runs / "base" / "manifest.json").read_bytes() == base
    assert (runs / "replay-seed0" / "manifest.json").is_file()


def test_a_failing_arm_is_named_after_the_report_of_the_others(
    study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wild = ["--set", "arms.replay.learning_rate=1e30", "--set", "max_steps=4"]
    assert main(["run", str(study), *SMALL, *wild]) == 1
    shown = capsys.readouterr()
    assert "Error: 1 of 2 runs failed; the others are finished. replay-seed0:" in shown.err
    assert shown.out.strip() == str(study.parent / "runs" / "report.html")
    assert "replay-seed0 failed" in Path(shown.out.strip()).read_text("utf-8")
    assert main(["ls", "runs", str(study.parent / "runs")]) == 0
    assert any("replay-seed0" in line and "failed" in line for line in capsys.readouterr().out.splitlines())


def test_probe_compares_checkpoints_with_their_base(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = study.parent
    assert main(["run", str(study), *SMALL, "--set", "save_model=true"]) == 0
    tuned = folder / "runs" / "runs" / "full-seed0" / "model"
    args = ["--data", str(folder / "test.jsonl"), "-o", str(folder / "pairs"), "--probes", "task_alignment"]
    capsys.readouterr()
    assert main(["probe", str(folder / "model"), str(tuned), *args]) == 0
    assert capsys.readouterr().out.strip() == str(folder / "pairs" / "report.html")
