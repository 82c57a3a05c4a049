"""What is on disk can be asked in SQL."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sft_probe.cli.main import main

SQL = "select metric, value from measurements order by metric"


def test_query_as_table_csv_and_json(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["query", str(folder), SQL]) == 0
    table = [line.split() for line in capsys.readouterr().out.splitlines() if line.strip()]
    assert table[0] == ["metric", "value"]
    assert table[2:] == [["exact_match", "0.5"], ["token_f1", "—"]]
    assert main(["query", str(folder), SQL, "--format", "csv"]) == 0
    assert capsys.readouterr().out == "metric,value\nexact_match,0.5\ntoken_f1,\n"
    assert main(["query", str(folder), SQL, "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out) == [
        {"metric": "exact_match", "value": 0.5},
        {"metric": "token_f1", "value": None},
    ]


def test_a_wrong_query_is_bad_input(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["query", str(folder), "select nothing from nowhere"]) == 3
    assert "the query failed" in capsys.readouterr().err
