from __future__ import annotations

from pathlib import Path

import pytest

from sft_probe.cli.main import main
from sft_probe.report.rules import load_rules
from sft_probe.study.yaml import load_study


@pytest.mark.parametrize("template", ["demo", "own"])
def test_init_writes_a_study_that_reads(template: str, tmp_path: Path) -> None:
    path = tmp_path / "new" / "study.yaml"
    assert main(["init", str(path), "--template", template]) == 0
    assert load_study(path).arms


def test_init_replaces_nothing_unless_forced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "study.yaml"
    path.write_text("mine")
    assert main(["init", str(path)]) == 3
    assert "the file exists already. Add --force" in capsys.readouterr().err
    assert path.read_text() == "mine"
    assert main(["init", str(path), "--force"]) == 0
    assert path.read_text() != "mine"


def test_init_writes_rules_that_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "gate.yaml"
    assert main(["init", str(path), "--template", "gate"]) == 0
    assert load_rules(path).rules
    assert f"--rules {path}" in capsys.readouterr().out
