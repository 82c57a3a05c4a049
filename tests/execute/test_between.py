"""Runs that kept their weights are compared with each other."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sft_probe.execute.local import run_study
from sft_probe.report.material import load
from sft_probe.store.runs import BETWEEN, RunStore
from sft_probe.study.spec import StudySpec

ARMS = {"full": {}, "lora": {"method": "lora", "method_options": {"r": 2}}}


@pytest.mark.slow
def test_pairs_of_runs_and_of_seeds(study: Callable[..., StudySpec]) -> None:
    spec = study(save_model=True, probes=["weight_change"], arms=ARMS, schedule={"points": 0})
    run_study(spec)
    store = RunStore(spec.output_dir)
    rows = store.measurements().query("arm == @BETWEEN")
    whole = rows[(rows.layer == -1) & (rows.module == "all")].set_index(["metric", "stratum"])["value"]
    runs = ["full-seed0", "full-seed1", "lora-seed0", "lora-seed1"]
    pairs = {f"{one} | {other}" for i, one in enumerate(runs) for other in runs[i + 1 :]}
    cosines = whole["task_vector_cosine"]
    assert set(cosines.index) == pairs
    assert cosines.between(-1, 1).all()
    assert cosines["full-seed0 | full-seed1"] > whole["task_vector_cosine_null"]["full-seed0 | full-seed1"]
    norms = store.measurements().query(
        "metric == 'relative_norm' and layer == -1 and arm == 'full' and step > 0"
    )
    assert 0 < whole["seed_noise_norm"]["full-seed0 | full-seed1"] < norms["value"].max()
    assert set(whole["seed_noise_r90"].index) == {"full-seed0 | full-seed1", "lora-seed0 | lora-seed1"}
    merged = rows[rows.metric == "merge_error"]
    assert set(merged.stratum) == {"lora-seed0", "lora-seed1"}
    assert (merged["value"] < 1e-3).all(), "float32 keeps what an adapter adds"
    line = rows[(rows.probe == "mode_connectivity") & (rows.metric == "barrier")]
    assert set(line.stratum) == {"full-seed0 | full-seed1", "lora-seed0 | lora-seed1"}
    material = load(spec.output_dir)
    assert len(material.between) == len(rows)
    assert [arm.name for arm in material.arms] == ["full", "lora"], "a comparison is no arm"
    before = store.folder / BETWEEN / "manifest.json"
    written = before.stat().st_mtime_ns
    run_study(spec)
    assert before.stat().st_mtime_ns == written, "the same runs are not compared twice"
