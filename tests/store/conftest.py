from __future__ import annotations

import math
from pathlib import Path

import pytest

from sft_probe.schema import Item, Measurement, Measurements
from sft_probe.store.runs import RunStore

ENVIRONMENT = {"versions": {"sft-probe": "0.1.0"}, "device": "cpu"}


def a_config(arm: str = "full", seed: int = 0, digest: str = "d1") -> dict[str, object]:
    return {"arm": arm, "seed": seed, "digest": digest, "label": f"{arm} fine-tuning"}


def some_measurements(value: float = 0.5, text: str = "Paris") -> Measurements:
    rows = (
        Measurement(metric="exact_match", value=value, unit="1", dataset="test", se=0.1, n=4, null_value=0.0),
        Measurement(metric="token_f1", value=math.nan, unit="1", why="no targets"),
    )
    items = (Item(metric="exact_match", item="q1", value=1.0, prediction=text, target="Paris", prompt="?"),)
    return Measurements(rows, items)


def write_run(store: RunStore, run_id: str = "full-seed0", *, digest: str = "d1", value: float = 0.5) -> None:
    arm, _, seed = run_id.partition("-seed")
    with store.open_run(run_id, config=a_config(arm, int(seed or 0), digest), environment=ENVIRONMENT) as run:
        run.append(0, "task_alignment", some_measurements(0.0))
        run.append(4, "task_alignment", some_measurements(value))
        run.log(4, {"loss": 1.25, "note": "not a number"})
        run.spent("training", 2.0)
        run.note(trainable_parameters=10, total_parameters=20)
        run.finish()


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    return RunStore(tmp_path / "study")
