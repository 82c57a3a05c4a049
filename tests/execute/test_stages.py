"""A study whose arms have stages, from its file to its report."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sft_probe.errors import DataError
from sft_probe.execute.local import run_study
from sft_probe.report.build import build_report
from sft_probe.schema import TRAINING
from sft_probe.store.runs import RunStore
from sft_probe.study.spec import StudySpec

Make = Callable[..., StudySpec]


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    rows = [
        {"prompt": f"Where is the {animal} {time}?", "chosen": "sofa", "rejected": "river"}
        for animal in ("cat", "dog", "fox", "owl")
        for time in ("now", "today")
    ]
    path = tmp_path / "pairs.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows), "utf-8")
    return path


def staged(study: Make, data_files: dict[str, Path], pairs: Path, **changes: Any) -> StudySpec:
    data = {name: str(path) for name, path in data_files.items()} | {"max_test_rows": 8}
    dpo = {"dpo": {"data": "pairs", "max_steps": 2}}
    arms = {"plain": {}, "both": ["sft", dpo], "lora": {"method": "lora", "stages": ["sft", dpo]}}
    asked, compared = {"task_alignment": {"max_new_tokens": 4}}, {"preference": {"dataset": "pairs"}}
    ends = {"points": 1, "ends_only": ["weight_change"]}
    given = {"data": data | {"others": {"pairs": str(pairs)}}, "schedule": ends}
    given |= {"probes": [asked, compared, "weight_change"]}
    return study(seeds=[0], **({"arms": arms} | given | changes))


def test_all_stages_stand_on_one_axis_with_looks_at_each_boundary(
    study: Make, data_files: dict[str, Path], pairs: Path
) -> None:
    spec = staged(study, data_files, pairs)
    run_study(spec)
    store = RunStore(spec.output_dir)
    assert {run.run: run.steps for run in store.runs()} == {
        "base": (0,),
        "plain-seed0": (0, 1, 3),
        "both-seed0": (0, 1, 3, 4, 5),
        "lora-seed0": (0, 1, 3, 4, 5),
    }
    rows = store.measurements()
    looks = rows[(rows.probe == "weight_change") & (rows.run == "both-seed0")].step
    assert sorted(set(looks)) == [0, 3, 5], "probes of the ends look at the end of every stage"
    followed = rows[(rows.probe == TRAINING) & (rows.run == "both-seed0")]
    assert sorted(set(followed.step)) == [1, 2, 3, 4, 5]
    shared = ["probe", "metric", "dataset", "stratum", "layer", "module"]
    one, two = (
        rows[(rows.run == run) & (rows.step == 3) & (rows.probe != TRAINING)].set_index(shared).value
        for run in ("plain-seed0", "both-seed0")
    )
    assert one.equals(two), "the first stage is what an arm without stages is"
    log = store.train_log()
    own = log[log.run == "both-seed0"].groupby("metric").step.apply(list)
    assert (own["loss"], own["dpo_loss"]) == ([1, 2, 3], [4, 5])
    described = store.config("both-seed0")["stages"]
    assert [(stage["name"], stage["first"], stage["last"]) for stage in described] == [
        ("sft", 0, 3),
        ("dpo, pairs", 3, 5),
    ]


@pytest.mark.slow
def test_a_report_marks_the_boundary_and_shows_what_each_stage_added(
    study: Make, data_files: dict[str, Path], pairs: Path
) -> None:
    spec = staged(
        study, data_files, pairs, arms={"both": ["sft", {"dpo": {"data": "pairs", "max_steps": 2}}]}
    )
    run_study(spec)
    paths = build_report(spec.output_dir)
    page = paths.html.read_text("utf-8")
    assert "Dotted: where a stage of training ends" in page
    assert page.count(">dpo, pairs</text>") >= 2, "a label at the boundary in every panel over steps"
    table = (paths.html.parent / "tables" / "stages.csv").read_text("utf-8").splitlines()
    assert table[0].startswith("measure,arm,stage,first,last,change,change_low,change_high")
    preferred = [line.split(",") for line in table if line.startswith("Preferred answer is likelier")]
    rows = RunStore(spec.output_dir).measurements()
    rows = rows[(rows.metric == "preference_accuracy") & (rows.run == "both-seed0") & (rows.stratum == "")]
    at = rows.set_index("step").value
    changes = [float(line[-5]) for line in preferred]
    assert changes == pytest.approx([at[3] - at[0], at[5] - at[3]])


def test_rows_that_do_not_fit_a_stage_stop_the_study_before_any_compute(
    study: Make, data_files: dict[str, Path], pairs: Path
) -> None:
    train = str(data_files["train"])
    spec = staged(study, data_files, pairs, arms={"a": ["sft", "dpo"]})
    with pytest.raises(DataError, match=f"{train}.*field 'rejected'.*`chosen` and `rejected`"):
        run_study(spec)
    assert RunStore(spec.output_dir).runs() == ()
