"""Looking must not change training: the promise every other number rests on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch
from transformers import Trainer, TrainerCallback, TrainingArguments

from sft_probe.data.chat import to_trl_row
from sft_probe.data.examples import Dataset, DataSets
from sft_probe.models.load import LoadedModel, fresh_copy
from sft_probe.observe.observer import Observer
from sft_probe.probes.battery import Battery, make_probe
from sft_probe.schema import TRAINING, Measurements
from sft_probe.study.spec import ArmSpec, TrainingSpec
from sft_probe.testing.tiny import tiny_base, tiny_data
from sft_probe.train.host import ProbeHost
from sft_probe.train.sft import ArmRun, run_sft

STEPS = 6
LORA = ArmSpec(method="lora", method_options={"r": 2, "lora_dropout": 0.2})


@dataclass
class Kept:
    """A sink in memory."""

    rows: list[tuple[int, str, Measurements]] = field(default_factory=list)
    logged: list[tuple[int, Mapping[str, float]]] = field(default_factory=list)

    def append(self, step: int, probe: str, measurements: Measurements) -> None:
        self.rows.append((step, probe, measurements))

    def log(self, step: int, values: Mapping[str, float]) -> None:
        self.logged.append((step, values))


class RandomStates(TrainerCallback):
    """What the global generators say at the end of each step, seen by a second callback."""

    def __init__(self) -> None:
        self.seen: list[int] = []

    def on_step_end(self, args: object, state: object, control: object, **rest: object) -> None:
        self.seen.append(int(torch.get_rng_state().sum()))


def study_data() -> DataSets:
    sets = tiny_data(16)
    return DataSets({**sets, "train": Dataset("train", sets["test"].examples)})


def battery(base: LoadedModel, data: DataSets) -> Battery:
    probes = (
        make_probe("task_alignment", {}),
        make_probe("format_adherence", {}),
        make_probe("token_shift", {}),
        make_probe("representation_drift", {"dataset": "text"}),
        make_probe("weight_change", {}),
    )
    return Battery(probes, Observer(base, data))


def train(arm: ArmSpec, scratch: Path, *, watched: bool) -> tuple[dict[str, torch.Tensor], list[int], Kept]:
    base, data, kept, states = tiny_base(), study_data(), Kept(), RandomStates()
    host = ProbeHost(battery(base, data), range(1, STEPS), kept)
    run = ArmRun(
        arm=arm,
        training=TrainingSpec(max_steps=STEPS, per_device_train_batch_size=4, learning_rate=1e-2),
        seed=3,
    )
    trained = run_sft(run, base, data, scratch, callbacks=(host, states) if watched else (states,))
    return trained.model.state_dict(), states.seen, kept


@pytest.mark.parametrize("arm", [ArmSpec(), LORA], ids=["full", "lora"])
def test_weights_are_bit_identical_with_and_without_probes(arm: ArmSpec, tmp_path: Path) -> None:
    watched, states, kept = train(arm, tmp_path / "watched", watched=True)
    blind, blind_states, _ = train(arm, tmp_path / "blind", watched=False)
    assert {step for step, _, _ in kept.rows} == set(range(STEPS + 1))
    assert states == blind_states, "a probe drew from the global random generator"
    assert watched.keys() == blind.keys()
    assert all(torch.equal(watched[name], blind[name]) for name in watched)


def test_training_itself_moved_the_weights_and_not_the_base(tmp_path: Path) -> None:
    before = {name: w.clone() for name, w in tiny_base().model.state_dict().items()}
    tuned, _, kept = train(ArmSpec(), tmp_path, watched=True)
    assert any(not torch.equal(tuned[name], w) for name, w in before.items())
    at_start = [m for step, probe, m in kept.rows if step == 0 and probe == "weight_change"]
    assert all(row.value == 0 for row in at_start[0].rows if row.metric == "relative_norm")


def test_host_looks_once_at_a_last_step_that_is_also_scheduled(tmp_path: Path) -> None:
    base, data, kept = tiny_base(), study_data(), Kept()
    probes = Battery((make_probe("weight_change", {}),), Observer(base, data))
    host = ProbeHost(probes, {0, 2, STEPS}, kept, ends_only=("weight_change",))
    run = ArmRun(arm=ArmSpec(), training=TrainingSpec(max_steps=STEPS), seed=0)
    run_sft(run, base, data, tmp_path, callbacks=(host,))
    looks = [step for step, probe, _ in kept.rows if probe == "weight_change"]
    assert looks == [0, STEPS], "ends_only: not at step 2, once at the end"
    assert [step for step, values in kept.logged if "loss" in values] == list(range(1, STEPS + 1))


def test_host_works_in_a_plain_transformers_trainer(tmp_path: Path) -> None:
    base, data, kept = tiny_base(), study_data(), Kept()
    rows = [to_trl_row(example, base.tokenizer) for example in data["train"]]
    width = max(len(row["input_ids"]) for row in rows)
    padded = [
        {
            "input_ids": row["input_ids"] + [0] * (width - len(row["input_ids"])),
            "labels": row["labels"] + [-100] * (width - len(row["labels"])),
        }
        for row in rows
    ]
    host = ProbeHost(battery(base, data), {2}, kept)
    arguments = TrainingArguments(
        output_dir=str(tmp_path), max_steps=4, report_to="none", save_strategy="no", disable_tqdm=True
    )
    Trainer(fresh_copy(base), args=arguments, train_dataset=padded, callbacks=[host]).train()
    looks = {step for step, probe, _ in kept.rows if probe != TRAINING}
    assert sorted(looks) == [0, 2, 4]
    followed = [rows.rows for step, probe, rows in kept.rows if probe == TRAINING]
    assert len(followed) == 4
    assert all(any(row.metric == "token_loss" and row.value > 0 for row in rows) for rows in followed)
