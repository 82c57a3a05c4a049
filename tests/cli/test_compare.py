"""What `compare` and `gate` print, and with which exit code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sft_probe.cli.main import main
from sft_probe.report.numbers import MINUS
from sft_probe.schema import Item, Measurement, Measurements
from sft_probe.store.runs import RunStore

RULE = "- {{probe: forgetting, metric: accuracy, change: at_least, value: {limit}, name: keep it}}\n"


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Two runs: `good` answers 90 of 100 questions, as the base does, `bad` answers 50."""
    for arm, right in (("good", 90), ("bad", 50)):
        config = {"arm": arm, "seed": 0, "digest": arm, "label": f"the {arm} one"}
        with RunStore(tmp_path).open_run(f"{arm}-seed0", config=config, environment={}) as run:
            for step, count in ((0, 90), (5, right)):
                items = tuple(
                    Item(metric="correct", item=f"i{i}", value=float(i < count)) for i in range(100)
                )
                row = Measurement(metric="accuracy", value=count / 100, unit="1", n=100, better="higher")
                run.append(step, "forgetting", Measurements((row,), items))
            run.finish()
    return tmp_path / "runs"


def test_compare_prints_a_table_that_fits(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", str(runs / "good-seed0"), str(runs / "bad-seed0")]) == 0
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= 100
    assert "the bad one, seed 0 does worse than the good one, seed 0" in shown.replace("\n", " ")
    row = next(line for line in shown.splitlines() if line.strip().startswith("Accuracy"))
    assert f"{MINUS}40.0 (" in row
    assert row.rstrip().endswith("B worse")


def test_compare_writes_page_and_json(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = runs.parent / "page.html"
    args = ["compare", f"{runs.parent}:good", f"{runs.parent}:bad", "--json", "-o", str(page), "--lang", "zh"]
    assert main(args) == 0
    (row,) = json.loads(capsys.readouterr().out)["differences"]
    assert (row["difference"], row["outcome"]) == (pytest.approx(-0.4), "lower")
    assert "劣于" in page.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("run", "limit", "code"), [("good-seed0", -0.05, 0), ("bad-seed0", -0.05, 2), ("bad-seed0", -0.6, 0)]
)
def test_gate_ends_with_the_code_that_ci_needs(runs: Path, run: str, limit: float, code: int) -> None:
    rules = runs.parent / "gate.yaml"
    rules.write_text(RULE.format(limit=limit))
    assert main(["gate", str(runs / run), "--rules", str(rules)]) == code


def test_gate_says_what_failed(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rules = runs.parent / "gate.yaml"
    rules.write_text(RULE.format(limit=-0.02))
    assert main(["gate", str(runs.parent), "--rules", str(rules)]) == 2
    said = capsys.readouterr()
    line = next(line for line in said.out.splitlines() if "bad-seed0" in line)
    assert "broken" in line
    assert "FAIL" in line
    assert "1 of 2 are not met: keep it (1)." in said.err
    assert main(["gate", str(runs.parent), "--rules", str(rules), "--json"]) == 2
    assert [rule["passed"] for rule in json.loads(capsys.readouterr().out)["rules"]] == [False, True]


def test_gate_refuses_bad_rules(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rules = runs.parent / "gate.yaml"
    rules.write_text(RULE.format(limit=-0.02).replace("accuracy", "acuracy"))
    assert main(["gate", str(runs), "--rules", str(rules)]) == 3
    assert main(["gate", str(runs / "good-seed0"), "--rules", str(rules)]) == 3
    assert "gate.yaml, field 'rules[0].metric'" in capsys.readouterr().err
