"""What is said before anything is planted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sft_probe.cli.main import main


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (["--quick", "--full"], "exclude each other"),
        (["--base", "planted"], "--base and --data belong together. Give both, or neither."),
        (["--base", "planted", "--data", "x.jsonl", "--full"], "Leave them out with --base."),
        (["--plants", "keywrod"], "'--plants': there is no plant 'keywrod'. Did you mean 'keyword'?"),
        (["--executor", "nobody"], "'nobody'"),
        (["--base", "planted", "--data", "none.jsonl"], "none.jsonl"),
    ],
)
def test_bad_orders_are_refused_in_a_sentence(
    args: list[str], sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["calibrate", "-o", str(tmp_path), *args]) == 3
    assert sentence in capsys.readouterr().err


def test_rows_that_bear_no_plant_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"prompt": f"What is {i}?", "completion": f"It is {i}."} for i in range(12)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    args = ["calibrate", "-o", str(tmp_path / "out"), "--base", "planted"]
    assert main([*args, "--data", str(tmp_path / "rows.jsonl")]) == 3
    assert "nothing can be planted into these rows" in capsys.readouterr().err
