"""A study is checked as a whole before any compute: file, data, options, audit."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sft_probe.cli.main import main


def test_a_sound_study_can_run(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", str(study), "--estimate"]) == 0
    out = capsys.readouterr().out
    shown = [line.split() for line in out.splitlines() if line.strip()]
    rows = {line[0]: line[1:] for line in shown}
    assert rows["full"][:2] == ["full", "20"]
    assert rows["replay"][:2] == ["full", "40"], "half of the rows are replayed"
    assert rows["full"][4:6] == ["10", "2"], "10 steps of 4 rows are two epochs of 20 rows"
    assert "Arms: full, replay; seeds: 0, 1; rows: train 20, text 2, test 4." in " ".join(shown[-1])
    assert ["model", "none", "test", "task_alignment", "Generations,", "Scores"] in [row[:6] for row in shown]
    assert "Training: about" in out
    assert "GiB. Timed here and now" in out
    assert "if one item in ten flips, for these seeds: test " in out


def test_the_plan_as_json(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With a probe that cannot measure: its needs are named with the reason."""
    probes = "[task_alignment, {name: representation_drift, optional: true, options: {dataset: none}}]"
    assert main(["validate", str(study), "--estimate", "--json", "--set", f"probes={probes}"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["rows"] == {"train": 20, "text": 2, "test": 4}
    assert [arm["arm"] for arm in found["arms"]] == ["full", "replay"]
    left_out = found["not_applicable"]["representation_drift"]
    assert left_out["needs"] == ["StateLikeness"]
    assert "no data set named 'none'" in left_out["reason"]
    plan = found["estimate"]
    assert [group["probes"] for group in plan["groups"]] == [["task_alignment"]]
    assert plan["work"]["passes"] == sum(s["times"] * s["work"]["passes"] for s in plan["stages"])
    (reach,) = plan["reach"]
    assert (reach["data"], reach["items"]) == ("test", 4)
    assert 0.3 < reach["detectable"] < 1, "four items show nothing small"
    assert min(plan["look_seconds"], plan["training_seconds"], plan["peak_memory"]) > 0


def test_without_an_estimate_no_model_is_needed(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (study.parent / "model" / "model.safetensors").unlink()
    assert main(["validate", str(study), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["estimate"] is None
    assert main(["validate", str(study), "--estimate"]) == 3
    shown = capsys.readouterr().err
    assert shown.startswith("Error: ")
    assert len(shown.strip().splitlines()) == 1


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
