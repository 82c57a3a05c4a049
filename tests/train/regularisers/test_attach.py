"""Regularisers in real trainings: each changes what is learned, and the sums do not depend on batching."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from sft_probe.data.examples import Dataset, DataSets
from sft_probe.errors import SpecError, UnknownComponent
from sft_probe.models.load import LoadedModel, pristine
from sft_probe.registry import available
from sft_probe.study.spec import ArmSpec, RegulariserSpec, TrainingSpec
from sft_probe.testing.tiny import tiny_data, tiny_model, tiny_tokenizer
from sft_probe.train.regularisers.attach import make_regularisers
from sft_probe.train.sft import ArmRun, TrainedArm, run_sft


def base() -> LoadedModel:
    """Without dropout, so that the numbers do not depend on how rows are batched."""
    return pristine(tiny_model(dropout=0.0), tiny_tokenizer(), path="tiny", device=torch.device("cpu"))


def trained(folder: Path, method: str = "full", *, parts: Any = (), **training: Any) -> TrainedArm:
    sets = tiny_data(16)
    data = DataSets({**sets, "train": Dataset("train", sets["test"].examples)})
    settings = {"max_steps": 4, "per_device_train_batch_size": 8, "learning_rate": 5e-3} | training
    arm = ArmSpec(method=method, regulariser=RegulariserSpec(**dict(parts)))
    return run_sft(ArmRun(arm=arm, training=TrainingSpec(**settings), seed=0), base(), data, folder)


def distance(found: TrainedArm) -> float:
    before = base().model
    return sum(
        float((tuned - weight).detach().square().sum())
        for tuned, weight in zip(found.model.parameters(), before.parameters(), strict=True)
    )


def test_every_registered_regulariser_bears_its_name() -> None:
    names = available("regularisers")
    assert {"l2_sp", "ewc", "kl", "label_smoothing", "constrained", "ema", "wise_ft", "merge"} == {*names}
    for name, entry in names.items():
        assert entry.load().name == name


@pytest.mark.parametrize(
    "parts",
    [
        {"l2_sp": {"weight": 1.0}},
        {"ewc": {"dataset": "text", "weight": 100.0}},
        {"kl": {"weight": 5.0}},
        {"kl": {"weight": 5.0, "dataset": "text", "direction": "reverse"}},
        {"constrained": {}},
        {"ema": {"decay": 0.9}},
        {"wise_ft": {}},
    ],
)
def test_it_holds_the_model_nearer_to_its_base(parts: dict[str, Any], tmp_path: Path) -> None:
    free = trained(tmp_path / "free")
    assert distance(trained(tmp_path / "held", parts=parts)) < 0.995 * distance(free)


def test_two_half_batches_are_one_batch(tmp_path: Path) -> None:
    """Penalties and token losses add up over accumulated passes to those of one pass."""
    parts = {"l2_sp": {"weight": 0.1}, "label_smoothing": {"epsilon": 0.2}}
    plain = {"optim": "sgd", "max_grad_norm": 0.0, "learning_rate": 0.05, "max_steps": 2}
    whole = trained(tmp_path / "one", parts=parts, **plain)
    halves = trained(
        tmp_path / "two", parts=parts, per_device_train_batch_size=4, gradient_accumulation_steps=2, **plain
    )
    for one, two in zip(whole.model.parameters(), halves.model.parameters(), strict=True):
        torch.testing.assert_close(one, two, atol=2e-4, rtol=1e-3)


def test_merged_adapters_leave_a_plain_model(tmp_path: Path) -> None:
    assert not hasattr(trained(tmp_path, "lora", parts={"merge": {}}).model, "peft_config")


def test_wrong_names_and_options_are_named() -> None:
    with pytest.raises(UnknownComponent, match="Did you mean 'l2_sp'"):
        make_regularisers({"l2_ps": {}})
    with pytest.raises(SpecError, match="Did you mean 'weight'"):
        make_regularisers({"l2_sp": {"wieght": 1.0}})
    with pytest.raises(SpecError, match="has no options"):
        make_regularisers({"merge": {"a": 1}})
