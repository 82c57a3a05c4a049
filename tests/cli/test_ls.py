"""What is there can be listed."""

from __future__ import annotations

from pathlib import Path

import pytest

from sft_probe.cli.main import main


def test_runs_are_listed_finished_or_not(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ls", "runs", str(folder)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any("lora-seed1" in line and "finished" in line and "LoRA" in line for line in lines)
    assert any("lora-seed2" in line and "unfinished" in line for line in lines)


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("formats", ["messages", "alpaca", "sharegpt"]),
        ("edits", ["label_noise"]),
        ("methods", ["full", "lora", "r=8"]),
        ("objectives", ["sft", "dpo", "kto", "beta=0.1"]),
    ],
)
def test_components_are_listed(kind: str, names: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ls", kind]) == 0
    shown = capsys.readouterr().out
    assert [name for name in names if name not in shown] == []


def test_probes_are_listed_with_their_question(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ls", "probes"]) == 0
    shown = capsys.readouterr().out
    assert "task_alignment" in shown
    assert "?" in shown
