"""Trackers beside a study show the numbers of the store, in one run per arm and seed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from sft_probe.execute.local import run_study
from sft_probe.schema import TRAINING
from sft_probe.store.runs import RunStore
from sft_probe.study.spec import StudySpec
from sft_probe.train.trackers import tracked_name

Numbers = dict[tuple[str, int], float]
RUNS = ("full-seed0", "lora-seed0")


def stored(rows: pd.DataFrame, run: str) -> Numbers:
    """What a tracker should hold of a run: rows of probes that are not by layer."""
    own = rows[(rows.run == run) & (rows.layer < 0) & rows.value.notna() & (rows.probe != TRAINING)]
    return {(tracked_name(row.probe, row), int(row.step)): float(row.value) for row in own.itertuples()}


def of_tensorboard(folder: Path) -> Numbers:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder))
    events.Reload()
    return {
        (tag, event.step): event.value for tag in events.Tags()["scalars"] for event in events.Scalars(tag)
    }


def of_mlflow(name: str) -> Numbers:
    from mlflow.tracking import MlflowClient

    client = MlflowClient()
    experiment = client.get_experiment_by_name("tiny")
    (run,) = [r for r in client.search_runs([experiment.experiment_id]) if r.info.run_name == name]
    assert run.info.status == "FINISHED"
    return {
        (metric.key, metric.step): metric.value
        for key in run.data.metrics
        for metric in client.get_metric_history(run.info.run_id, key)
    }


@pytest.mark.slow
def test_tensorboard_and_mlflow_hold_what_the_store_holds(
    study: Callable[..., StudySpec], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("tensorboard")
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"file:{tmp_path}/mlruns")
    spec = study(seeds=[0], report_to=["tensorboard", "mlflow"])
    run_study(spec)
    rows = RunStore(spec.output_dir).measurements()
    for run in RUNS:
        expected = stored(rows, run)
        assert {step for _, step in expected} == {0, 1, 3}
        for found in (of_tensorboard(spec.output_dir / "trackers" / run), of_mlflow(run)):
            measured = {key: value for key, value in found.items() if key[0].startswith("probe/")}
            assert measured == pytest.approx(expected, rel=1e-6)
            assert {step for name, step in found if name.endswith("loss")} >= {1, 2, 3}
    assert mlflow.active_run() is None
