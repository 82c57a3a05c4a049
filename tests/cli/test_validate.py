"""A study is checked as a whole before any compute: file, data, options, audit."""

from __future__ import annotations

from pathlib import Path

import pytest

from sft_probe.cli.main import main


def test_a_sound_study_can_run(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", str(study), "--estimate"]) == 0
    shown = [line.split() for line in capsys.readouterr().out.splitlines() if line.strip()]
    rows = {line[0]: line[1:] for line in shown}
    assert rows["full"][:2] == ["full", "20"]
    assert rows["replay"][:2] == ["full", "40"], "half of the rows are replayed"
    assert rows["full"][4:6] == ["10", "2"], "10 steps of 4 rows are two epochs of 20 rows"
    assert "Arms: full, replay; seeds: 0, 1; rows: train 20, text 2, test 4." in " ".join(shown[-1])


def test_an_audit_error_stops_it_unless_allowed(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train = study.parent / "train.jsonl"
    train.write_text(train.read_text() + "\n" + (study.parent / "test.jsonl").read_text())
    assert main(["validate", str(study)]) == 3
    shown = capsys.readouterr()
    assert "✗ overlap_exact: 4 of 4 test rows" in shown.out
    assert "add 'overlap_exact' to `data.allow`" in shown.err
    assert main(["validate", str(study), "--set", "data.allow=[overlap_exact]"]) == 0


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ("probes=[{task_alignment: {datset: test}}]", "has no option 'datset'. Did you mean 'dataset'?"),
        ("probes=[{task_alignment: {dataset: tests}}]", "no data set named 'tests'. Did you mean 'test'?"),
        ("arms.full.method_options={r: 3}", "method 'full' has no option 'r'"),
        ("data.train=nowhere.jsonl", "nowhere.jsonl: there is no such file or folder."),
    ],
)
def test_what_is_wrong_is_said(
    setting: str, sentence: str, study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["validate", str(study), "--set", setting]) == 3
    assert sentence in capsys.readouterr().err


def test_a_broken_row_is_named(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (study.parent / "train.jsonl").write_text('{"question": "a", "answer": "b"}\n{"question": "c"}\n')
    assert main(["validate", str(study)]) == 3
    assert "train.jsonl, row 2, field 'completion': the field is missing" in capsys.readouterr().err
