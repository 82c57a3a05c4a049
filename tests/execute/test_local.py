from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import torch
from torch import nn

from sft_probe.errors import DataError, ModelError, SpecError
from sft_probe.execute.local import run_study
from sft_probe.schema import TRAINING
from sft_probe.store.query import query
from sft_probe.store.runs import RunStore
from sft_probe.study.spec import StudySpec

Make = Callable[..., StudySpec]
RUNS = ["base", "full-seed0", "full-seed1", "lora-seed0", "lora-seed1"]


def table(output_dir: Path) -> pd.DataFrame:
    return RunStore(output_dir).measurements()


def started(output_dir: Path) -> dict[str, tuple[str, int]]:
    runs = output_dir / "runs"
    return {
        m.run: (m.started, (runs / m.run / "manifest.json").stat().st_mtime_ns)
        for m in RunStore(output_dir).runs()
    }


def test_a_study_leaves_the_base_and_one_run_per_arm_and_seed(study: Make) -> None:
    spec = study()
    run_study(spec)
    store = RunStore(spec.output_dir)
    manifests = {m.run: m for m in store.runs()}
    assert list(manifests) == RUNS
    assert manifests["base"].steps == (0,)
    assert manifests["full-seed0"].steps[0] == 0
    assert manifests["full-seed0"].steps[-1] == 3
    assert manifests["lora-seed0"].trainable_parameters < manifests["full-seed0"].trainable_parameters
    rows = table(spec.output_dir)
    assert set(rows.probe) == {"task_alignment", "representation_drift", "weight_change", TRAINING}
    assert set(rows[rows.probe == TRAINING].step) == {1, 2, 3}
    assert {"study.yaml", "environment.json", "audit.json", "probes.json"} <= {
        path.name for path in spec.output_dir.iterdir()
    }
    assert not (spec.output_dir / "runs" / "full-seed0" / "trainer").exists()


def test_where_memory_runs_out_the_run_says_how_much_was_read_at_once(study: Make) -> None:
    from torch.nn.modules.module import register_module_forward_pre_hook

    def full(module: nn.Module, args: tuple[torch.Tensor, ...]) -> None:
        if type(module).__name__ == "LlamaMLP" and not module.training and args[0][..., 0].numel() > 100:
            raise torch.OutOfMemoryError("CUDA out of memory.")

    spec = study(seeds=[0], arms={"lora": {"method": "lora", "method_options": {"r": 2}}})
    hook = register_module_forward_pre_hook(full)
    try:
        run_study(spec)
    finally:
        hook.remove()
    shown = query(spec.output_dir, "select run, token_budget from runs").set_index("run").token_budget
    assert set(shown.index) == {"base", "lora-seed0"}
    assert shown.between(1, 100).all()


def test_step_zero_of_every_run_is_the_base(study: Make) -> None:
    spec = study(seeds=[0])
    run_study(spec)
    rows = table(spec.output_dir).query("step == 0").drop(columns=["run", "arm", "seed"])
    runs = table(spec.output_dir).query("step == 0").run
    base = rows[runs == "base"].reset_index(drop=True)
    for run in ("full-seed0", "lora-seed0"):
        pd.testing.assert_frame_equal(rows[runs == run].reset_index(drop=True), base)


def test_two_runs_of_one_study_give_the_same_numbers(study: Make, tmp_path: Path) -> None:
    first, second = study(), study(output_dir=str(tmp_path / "again"))
    run_study(first)
    run_study(second)
    pd.testing.assert_frame_equal(table(first.output_dir), table(second.output_dir))
    pd.testing.assert_frame_equal(RunStore(first.output_dir).items(), RunStore(second.output_dir).items())


def test_a_rerun_keeps_what_is_finished_and_redoes_what_changed(study: Make) -> None:
    run_study(study(seeds=[0]))
    before = started(study().output_dir)
    run_study(study(seeds=[0]))
    assert started(study().output_dir) == before
    run_study(
        study(
            seeds=[0],
            arms={"full": {"learning_rate": 5e-3}, "lora": {"method": "lora", "method_options": {"r": 2}}},
        )
    )
    after = started(study().output_dir)
    assert {run for run in after if after[run] != before[run]} == {"full-seed0"}


def test_an_interrupted_study_goes_on(study: Make) -> None:
    spec = study(seeds=[0])
    run_study(spec)
    whole = table(spec.output_dir)
    (spec.output_dir / "runs" / "lora-seed0" / "manifest.json").unlink()
    before = started(spec.output_dir)
    run_study(spec)
    after = started(spec.output_dir)
    assert {run for run in after if before.get(run) != after[run]} == {"lora-seed0"}
    pd.testing.assert_frame_equal(table(spec.output_dir), whole)


@pytest.mark.parametrize(
    ("change", "error", "sentence"),
    [
        ({"probes": ["task_alignmet"]}, SpecError, "Did you mean 'task_alignment'"),
        ({"probes": [{"task_alignment": {"datset": "test"}}]}, SpecError, "Did you mean 'dataset'"),
        ({"probes": [{"task_alignment": {"dataset": "tset"}}]}, DataError, "Did you mean 'test'"),
        ({"arms": {"a": {"method": "lroa"}}}, SpecError, "Did you mean 'lora'"),
        ({"model_name_or_path": "./nowhere"}, ModelError, "nowhere"),
    ],
)
def test_what_cannot_run_is_said_before_anything_is_trained(
    study: Make, change: dict[str, object], error: type[Exception], sentence: str
) -> None:
    with pytest.raises(error, match=sentence):
        run_study(study(**change))
    assert RunStore(study().output_dir).runs() == ()


def test_an_audit_error_stops_the_run_unless_allowed(study: Make, data_files: dict[str, Path]) -> None:
    leaked = {"train": str(data_files["train"]), "test": str(data_files["train"])}
    with pytest.raises(DataError, match=r"data\.allow") as caught:
        run_study(study(data=leaked, seeds=[0]))
    code = str(caught.value).split("add '")[1].split("'")[0]
    run_study(study(data=leaked | {"allow": [code]}, seeds=[0], arms={"full": {}}))
    findings = json.loads((study().output_dir / "audit.json").read_text("utf-8"))
    assert code in {finding["code"] for finding in findings}


def test_a_test_set_is_held_out_when_none_is_given(study: Make, data_files: dict[str, Path]) -> None:
    data = {"train": str(data_files["train"]), "test_size": 0.25}
    prepared = run_study(study(data=data, seeds=[0], arms={"full": {}}))
    assert len(prepared.data["test"]) == 8
    assert len(prepared.data["train"]) == 24


def test_weights_are_kept_when_asked_for(study: Make) -> None:
    spec = study(seeds=[0], save_model=True)
    run_study(spec)
    assert (spec.output_dir / "runs/full-seed0/model/model.safetensors").is_file()
    assert (spec.output_dir / "runs/lora-seed0/model/adapter_model.safetensors").is_file()


def test_an_arm_with_edited_rows_keeps_the_log_and_learns_something_else(study: Make) -> None:
    noisy = {"edits": [{"label_noise": {"rate": 0.5}}]}
    spec = study(seeds=[0], arms={"full": {}, "noisy": noisy})
    run_study(spec)
    log = spec.output_dir / "runs" / "noisy-seed0" / "edits.jsonl"
    lines = [json.loads(line) for line in log.read_text("utf-8").splitlines()]
    assert len(lines) == 16
    assert {line["edit"] for line in lines} == {"label_noise"}
    assert not (spec.output_dir / "runs" / "full-seed0" / "edits.jsonl").exists()
    end = table(spec.output_dir).query("step == 3 and metric == 'answer_logprob' and stratum == ''")
    assert end.value.nunique() == 2


def test_a_probe_that_does_not_apply_leaves_its_reason(study: Make) -> None:
    spec = study(seeds=[0], probes=["all", "weight_change"], arms={"full": {}})
    run_study(spec)
    reasons = json.loads((spec.output_dir / "probes.json").read_text("utf-8"))
    assert reasons["weight_change"]["not_applicable"] == ""
