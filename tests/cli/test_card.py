from __future__ import annotations

from pathlib import Path

import pytest

from sft_probe.cli.main import main
from sft_probe.schema import Measurement, Measurements
from sft_probe.store.runs import RunStore


@pytest.fixture
def run(tmp_path: Path) -> Path:
    config = {"arm": "lora", "seed": 1, "digest": "d", "label": "LoRA"}
    with RunStore(tmp_path).open_run("lora-seed1", config=config, environment={}) as writer:
        for step, value in ((0, 0.25), (8, 0.75)):
            row = Measurement(metric="exact_match", value=value, unit="1", dataset="test", better="higher")
            writer.append(step, "task_alignment", Measurements((row,)))
        writer.finish()
    return tmp_path / "runs" / "lora-seed1"


def test_a_card_is_printed_or_written(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["card", str(run)]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("---\n")
    assert "| 25.0 % | 75.0 % |" in printed
    assert "None" not in printed
    assert main(["card", str(run), "-o", str(tmp_path / "CARD.md")]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "CARD.md")
    assert (tmp_path / "CARD.md").read_text("utf-8").strip() == printed.strip()


def test_an_unfinished_run_has_no_card(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["card", str(folder / "runs" / "lora-seed2")]) == 3
    assert "not the folder of a finished run" in capsys.readouterr().err


def test_a_run_without_a_second_look_has_a_card_without_numbers(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["card", str(folder / "runs" / "lora-seed1")]) == 0
    printed = capsys.readouterr().out
    assert "model-index" not in printed
    assert "## What fine-tuning changed" in printed
