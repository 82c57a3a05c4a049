"""A section for a model page says what the store says of one run, and the hub can read its metadata."""

from __future__ import annotations

from pathlib import Path

import pytest
from huggingface_hub import ModelCard

from sft_probe.errors import StoreError
from sft_probe.report.card import card
from sft_probe.report.material import Material
from sft_probe.schema import Measurement, Measurements
from sft_probe.store.documents import write_environment
from sft_probe.store.runs import RunStore


@pytest.fixture(scope="module")
def page(study: Path) -> str:
    return card(study / "runs" / "full_high-seed1")


def test_the_hub_reads_the_scores_of_this_run(page: str, material: Material) -> None:
    read = ModelCard(page)
    results = {(r.metric_type, r.dataset_name): r for r in read.data.eval_results}
    assert read.data.model_name == "full_high-seed1"
    assert read.data.tags == ["sft-probe"]
    rows = material.measurements.query(
        "run == 'full_high-seed1' and metric == 'exact_match' and stratum == ''"
    )
    before, after = (rows[rows.step == step].value.item() for step in (0, rows.step.max()))
    found = results["exact_match", "test"]
    assert found.metric_value == pytest.approx(after)
    assert found.metric_args["base"] == pytest.approx(before)
    assert found.metric_args["ci_low"] < found.metric_value < found.metric_args["ci_high"]
    assert ("accuracy", "world_facts") in results


def test_other_runs_do_not_enter(page: str) -> None:
    assert "1 seed" in page
    assert "LoRA" not in page
    assert "full_high-seed0" not in page


def test_the_loss_on_benchmarks_is_told_with_its_interval(page: str) -> None:
    line = next(line for line in page.splitlines() if line.startswith("| world\\_facts | \u2212"))
    assert " to " in line
    assert line.endswith("| loss shown |")


def test_it_is_written_in_chinese_too(study: Path) -> None:
    page = card(study / "runs" / "lora-seed0", lang="zh")
    assert "微调改变了什么" in page
    assert "What fine-tuning" not in page


@pytest.mark.parametrize("folder", ["runs/base", "runs/nothing", "runs", "."])
def test_what_is_no_finished_run_of_a_model_is_refused(study: Path, folder: str) -> None:
    with pytest.raises(StoreError, match="not the folder of a finished run"):
        card(study / folder)


@pytest.mark.parametrize(
    ("base", "shown", "named"),
    [("org/model-7b", "org/model-7b", "org/model-7b"), ("/home/somebody/base", "base", None)],
)
def test_hub_ids_are_named_and_paths_of_this_machine_are_not(
    tmp_path: Path, base: str, shown: str, named: str | None
) -> None:
    config = {"arm": "a", "seed": 3, "digest": "d", "base": {"model_name_or_path": base}}
    config |= {"data": {"test": "/home/somebody/test.jsonl"}, "method": "lora", "method_options": {"r": 4}}
    row = {"metric": "exact_match", "unit": "1", "dataset": "test", "better": "higher"}
    write_environment(tmp_path, {"data": {"test": {"rows": 7, "sha256": "a" * 64}}})
    with RunStore(tmp_path).open_run("a-seed3", config=config, environment={}) as writer:
        for step in (0, 5):
            writer.append(step, "probe", Measurements((Measurement(value=step / 10, **row),)))  # type: ignore[arg-type]
        writer.finish()
    page = card(tmp_path / "runs" / "a-seed3")
    read = ModelCard(page)
    assert read.data.base_model == named
    assert f": {shown}" in page
    assert "somebody" not in page
    (result,) = read.data.eval_results
    assert (result.dataset_type, result.metric_value, result.metric_args["base"]) == ("test.jsonl", 0.5, 0.0)
    assert "- Method: lora (r=4)" in page
    assert "- Seed: 3" in page
