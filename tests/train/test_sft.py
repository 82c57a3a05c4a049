from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
from torch import nn

from sft_probe.data.examples import Dataset, DataSets
from sft_probe.errors import ModelError
from sft_probe.study.spec import ArmSpec, RegulariserSpec, ReplaySpec, TrainingSpec
from sft_probe.testing.tiny import tiny_base, tiny_data
from sft_probe.train.adapters import Lora
from sft_probe.train.sft import ArmRun, run_sft, training_rows


def data() -> DataSets:
    sets = tiny_data(20)
    return DataSets({**sets, "train": Dataset("train", sets["test"].examples)})


def test_loss_falls_on_the_completion_only() -> None:
    base, run = tiny_base(), ArmRun(arm=ArmSpec(), training=TrainingSpec(), seed=0)
    for row, example in zip(training_rows(run, base, data()), data()["train"], strict=True):
        scored = [token for token in row["labels"] if token != -100]
        assert base.tokenizer.decode(scored) == f"{example.target}<|end|>"
        assert len(row["labels"]) == len(row["input_ids"])


def test_replay_adds_the_asked_share_of_text_rows() -> None:
    arm = ArmSpec(regulariser=RegulariserSpec(replay=ReplaySpec(dataset="text", fraction=0.2)))
    rows = training_rows(ArmRun(arm=arm, training=TrainingSpec(), seed=0), tiny_base(), data())
    replayed = [row for row in rows if row["labels"][1] != -100]
    assert len(rows) == 25
    assert len(replayed) == 5


def test_two_runs_with_one_seed_learn_the_same_and_another_seed_does_not(tmp_path: Path) -> None:
    def loss(seed: int, folder: str) -> float:
        training = TrainingSpec(max_steps=5, per_device_train_batch_size=4, learning_rate=5e-3)
        run = ArmRun(arm=ArmSpec(), training=training, seed=seed)
        return run_sft(run, tiny_base(), data(), tmp_path / folder).metrics["train_loss"]

    assert loss(1, "a") == loss(1, "b") != loss(2, "c")


def test_a_method_that_writes_into_frozen_weights_is_found_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @dataclass(frozen=True, kw_only=True)
    class Careless(Lora):
        def adapt(self, model: nn.Module) -> nn.Module:
            next(model.parameters()).data.mul_(1.01)
            return super().adapt(model)

    monkeypatch.setattr("sft_probe.registry.load", lambda *_: Careless)
    run = ArmRun(arm=ArmSpec(method="lora"), training=TrainingSpec(max_steps=1), seed=0)
    with pytest.raises(ModelError, match="'lora' wrote into frozen weights"):
        run_sft(run, tiny_base(), data(), tmp_path)
