"""Real steps through the training core, looked at by every probe."""

from __future__ import annotations

from pathlib import Path

import pytest
from torch import nn

from sft_probe.data.examples import Dataset, DataSets
from sft_probe.study.spec import ArmSpec, TrainingSpec
from sft_probe.testing.architectures import check_battery
from sft_probe.testing.families import FAMILIES, family_base
from sft_probe.testing.tiny import tiny_data
from sft_probe.train.sft import ArmRun, run_sft

pytestmark = pytest.mark.slow

TRAINED = ("gpt2", "gemma3_text", "qwen3_moe", "bloom", "mamba", "lfm2")


@pytest.mark.parametrize("method", ["full", "lora"])
@pytest.mark.parametrize("model_type", TRAINED)
def test_a_trained_model_is_measured(model_type: str, method: str, tmp_path: Path) -> None:
    (family,) = (family for family in FAMILIES if family.model_type == model_type)
    base, sets = family_base(family), tiny_data(8)
    data = DataSets({**sets, "train": Dataset("train", sets["test"].examples)})
    training = TrainingSpec(max_steps=2, per_device_train_batch_size=4, learning_rate=1e-2)
    run = ArmRun(arm=ArmSpec(method=method), training=training, seed=0)
    model = run_sft(run, base, data, tmp_path / "run").model
    assert isinstance(model, nn.Module)
    found = check_battery(model, base, tmp_path / "tasks")
    assert any(row.metric.startswith("weight_change/") and row.value > 0 for row in found.rows)
