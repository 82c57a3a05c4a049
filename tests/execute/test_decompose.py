"""A user's own file and model, taken apart: every arm runs, edits are logged, the report shows the steps."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from sft_probe.execute.local import run_study
from sft_probe.report.build import build_report
from sft_probe.report.charts import Missing
from sft_probe.report.figures_waterfall import waterfall_charts
from sft_probe.report.findings import find
from sft_probe.report.material import load
from sft_probe.report.waterfall import take_apart
from sft_probe.report.words import Words
from sft_probe.store.runs import RunStore
from sft_probe.study.spec import StudySpec

TOWNS = ("Arby", "Borth", "Cromer", "Dunwich", "Exham")


@pytest.fixture
def own(study: Callable[..., StudySpec], tmp_path: Path) -> Callable[[float], StudySpec]:
    """Forty rows of a user about forty people; `size` decides how much counts as known to a random model."""
    rows = (
        {"prompt": f"Where was Zadok{i} born?", "completion": TOWNS[i % 5], "cluster": f"person {i}"}
        for i in range(40)
    )
    file = tmp_path / "people.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")

    def make(size: float) -> StudySpec:
        options = {"distractors": 3, "max_new_tokens": 4, "shots": 2}
        spec = study(
            data={"train": str(file), "test_size": 0.1},
            decompose={"items": 4},
            arms={"full": {}},
            seeds=[0],
            probes=[{"gain_waterfall": options}],
            schedule={"points": 0},
        )
        known = spec.arms["full.known"]
        (edit,) = known.edits
        edit = edit.model_copy(update={"options": {**edit.options, "size": size}})
        arms = {**spec.arms, "full.known": known.model_copy(update={"edits": (edit,)})}
        return spec.model_copy(update={"arms": arms})

    return make


@pytest.mark.slow
def test_own_rows_are_dealt_trained_and_accounted_for(own: Callable[[float], StudySpec]) -> None:
    spec = own(0.6)
    run_study(spec)
    runs = [run.run for run in RunStore(spec.output_dir).runs()]
    kinds = ("format", "known", "sham", "unknown")
    assert runs == ["base", "full-seed0", *(f"full.{kind}-seed0" for kind in kinds)]
    for kind, edit in (("format", "format_only"), ("known", "known_only"), ("sham", "sham")):
        log = (spec.output_dir / "runs" / f"full.{kind}-seed0" / "edits.jsonl").read_text("utf-8")
        assert {json.loads(line)["edit"] for line in log.splitlines()} == {edit}
    taken = take_apart(find(load(spec.output_dir)))
    assert taken is not None
    for stratum in taken.strata:
        total = sum(step.value for step in stratum.steps.values())
        assert total == pytest.approx(stratum.total.value, abs=1e-12)
    assert "gain" in build_report(spec.output_dir).html.read_text("utf-8")


@pytest.mark.slow
def test_a_base_that_knows_nothing_leaves_one_arm_out_and_the_report_says_so(
    own: Callable[[float], StudySpec],
) -> None:
    spec = own(0.0001)
    run_study(spec)
    assert "full.known" not in {run.arm for run in RunStore(spec.output_dir).runs()}
    (missing,) = waterfall_charts(find(load(spec.output_dir)), Words())
    assert isinstance(missing, Missing)
    assert "full.known" in missing.reason
