"""One arm through several trainers: one model, one axis of steps, one look at each boundary."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.functional import logsigmoid
from transformers import TrainerCallback

from sft_probe.data.examples import Dataset, DataSets
from sft_probe.data.preferences import DESIRABLE, REJECTED, paired_rows
from sft_probe.errors import DataError, SpecError
from sft_probe.models.load import LoadedModel, pristine, trainable_copy
from sft_probe.observe.observer import Observer
from sft_probe.probes.battery import Battery, make_probe
from sft_probe.schema import TRAINING, Measurements
from sft_probe.study.arms import Stage
from sft_probe.study.spec import ArmSpec, RegulariserSpec, StageSpec, StudySpec, TrainingSpec
from sft_probe.testing.tiny import tiny_base, tiny_data, tiny_lora, tiny_model, tiny_tokenizer
from sft_probe.train.host import ProbeHost
from sft_probe.train.objectives import reference
from sft_probe.train.sft import ArmRun, TrainedArm, run_sft
from sft_probe.train.stages import check_stages, make_objective, train_arm

LORA = ArmSpec(method="lora", method_options={"r": 2, "lora_dropout": 0.2})
STEPS = 3


@dataclass
class Kept:
    """A sink in memory."""

    rows: list[tuple[int, str, Measurements]] = field(default_factory=list)
    logged: list[tuple[int, Mapping[str, float]]] = field(default_factory=list)

    def append(self, step: int, probe: str, measurements: Measurements) -> None:
        self.rows.append((step, probe, measurements))

    def log(self, step: int, values: Mapping[str, float]) -> None:
        self.logged.append((step, values))

    def said(self, name: str) -> dict[int, float]:
        return {step: values[name] for step, values in self.logged if name in values}


def steady() -> LoadedModel:
    """A base without dropout in its attention, which TRL's preference trainers leave on."""
    return pristine(tiny_model(dropout=0.0), tiny_tokenizer(), path="tiny/steady", device=torch.device("cpu"))


def data() -> DataSets:
    """Training rows, pairs that prefer their answers to one other place, and questions of another kind."""
    sets = tiny_data(16)
    pairs = tuple(replace(e, meta={REJECTED: "river"}) for e in sets["test"])
    return DataSets(
        {
            **sets,
            "train": Dataset("train", sets["test"].examples),
            "pairs": Dataset("pairs", pairs),
            "later": Dataset("later", sets["train"].examples[:16]),
        }
    )


def stages(*named: tuple[str, str | None], **changes: float) -> tuple[Stage, ...]:
    """Stages of equal length; changes: of the training of the last one."""
    training = TrainingSpec(max_steps=STEPS, per_device_train_batch_size=4, learning_rate=1e-2)
    found = [
        Stage(spec=StageSpec(objective=objective, data=name), training=training, first=i * STEPS)
        for i, (objective, name) in enumerate(named)
    ]
    last = replace(found[-1], training=training.model_copy(update=changes))
    return (*found[:-1], last)


def train(
    arm: ArmSpec, planned: Sequence[Stage], scratch: Path, *, watched: bool = True
) -> tuple[TrainedArm, Kept]:
    base, sets, kept = steady(), data(), Kept()
    probes = (make_probe("task_alignment", {"max_new_tokens": 4}), make_probe("weight_change", {}))
    battery = Battery(probes, Observer(base, sets))

    def callbacks(stage: Stage) -> tuple[TrainerCallback, ...]:
        loss = f"{stage.spec.objective}_loss"
        seen = {1} if watched else set()
        probing = battery if watched else Battery((), Observer(base, sets))
        return (ProbeHost(probing, seen, kept, first=stage.first, loss=loss),)

    run = ArmRun(arm=arm, training=planned[0].training, seed=3)
    return train_arm(run, planned, base, sets, scratch, callbacks), kept


@pytest.mark.parametrize("arm", [ArmSpec(), LORA], ids=["full", "lora"])
@pytest.mark.parametrize(("objective", "equal"), [("dpo", 0.6931), ("kto", 0.5)])
def test_a_preference_stage_begins_where_sft_ended(
    arm: ArmSpec, objective: str, equal: float, tmp_path: Path
) -> None:
    """Before its first update a model is its reference: the losses are log 2, and 1 - sigmoid(0)."""
    trained, kept = train(arm, stages(("sft", None), (objective, "pairs")), tmp_path)
    looks = [step for step, probe, _ in kept.rows if probe == "weight_change"]
    assert looks == [0, 1, STEPS, STEPS + 1, 2 * STEPS], "the boundary is looked at once"
    assert [step for step, probe, _ in kept.rows if probe == TRAINING] == list(range(1, 2 * STEPS + 1))
    assert list(kept.said("sft_loss")) == [1, 2, 3]
    assert list(kept.said(f"{objective}_loss")) == [4, 5, 6]
    assert kept.said(f"{objective}_loss")[STEPS + 1] == pytest.approx(equal, abs=1e-4)
    assert trained.steps == 2 * STEPS


def test_the_loss_of_dpo_is_that_of_its_paper(tmp_path: Path) -> None:
    """All pairs in each batch: the loss at step 2 is that of the model after step 1, by plain passes."""
    whole = {"per_device_train_batch_size": 16}
    after_one, _ = train(ArmSpec(), stages(("dpo", "pairs"), max_steps=1, **whole), tmp_path / "one")
    _, kept = train(ArmSpec(), stages(("dpo", "pairs"), max_steps=2, **whole), tmp_path / "two")
    base, margins = steady(), []
    for row in paired_rows(data()["pairs"], base.tokenizer, None):
        ratios = [
            likelihood(after_one.model, row["prompt_ids"], row[name])
            - likelihood(base.model, row["prompt_ids"], row[name])
            for name in ("chosen_ids", "rejected_ids")
        ]
        margins.append(ratios[0] - ratios[1])
    assert len(margins) == 16
    expected = -logsigmoid(0.1 * torch.tensor(margins)).mean()
    assert kept.said("dpo_loss")[2] == pytest.approx(float(expected), abs=1e-4)
    assert float(expected) < 0.69, "one step on all pairs makes them preferred"


def likelihood(model: nn.Module, prompt: list[int], answer: list[int]) -> float:
    with torch.no_grad():
        logits = model.eval()(input_ids=torch.tensor([prompt + answer])).logits[0, len(prompt) - 1 : -1]
    return float(logits.log_softmax(-1)[range(len(answer)), answer].sum())


@pytest.mark.parametrize("arm", [ArmSpec(), LORA], ids=["full", "lora"])
def test_a_second_task_goes_on_from_the_first(arm: ArmSpec, tmp_path: Path) -> None:
    """A last stage with a rate that is lost in rounding leaves the weights of the stage before it."""
    planned = stages(("sft", None), ("sft", "later"), learning_rate=1e-30)
    both, _ = train(arm, planned, tmp_path / "both", watched=False)
    run = ArmRun(arm=arm, training=planned[0].training, seed=3)
    first = run_sft(run, steady(), data(), tmp_path / "first").model.state_dict()
    assert all(torch.equal(weight, first[name]) for name, weight in both.model.state_dict().items())


def test_probes_do_not_change_an_arm_of_stages(tmp_path: Path) -> None:
    planned = stages(("sft", None), ("dpo", "pairs"), ("sft", "later"))
    watched, _ = train(LORA, planned, tmp_path / "watched")
    blind, _ = train(LORA, planned, tmp_path / "blind", watched=False)
    theirs = blind.model.state_dict()
    assert all(torch.equal(weight, theirs[name]) for name, weight in watched.model.state_dict().items())
    shares = {m.p for name, m in watched.model.named_modules() if isinstance(m, nn.Dropout)}
    assert shares == {0.2}, "a preference trainer switched dropout off for good"


def test_chosen_and_rejected_answers_have_losses_of_their_own(tmp_path: Path) -> None:
    _, kept = train(ArmSpec(), stages(("dpo", "pairs")), tmp_path, watched=False)
    for step, rows in [(step, rows.rows) for step, probe, rows in kept.rows if probe == TRAINING]:
        by_stratum = {row.stratum: row.value for row in rows if row.metric == "stratum_loss"}
        [whole] = [row.value for row in rows if row.metric == "token_loss" and not row.stratum]
        assert set(by_stratum) == {"chosen", "rejected"}, step
        assert whole == by_stratum["chosen"], "rejected answers are no training text"


def test_regularisers_hold_in_every_stage_and_weights_are_averaged_at_the_end(tmp_path: Path) -> None:
    """A pull of any strength shows in the loss of preference optimisation; WiSE-FT acts on the last stage."""
    planned, base = stages(("sft", None), ("dpo", "pairs")), steady()
    back = ArmSpec(regulariser=RegulariserSpec.model_validate({"wise_ft": {"alpha": 0.0}}))
    averaged, kept = train(back, planned, tmp_path / "averaged")
    own = base.model.state_dict()
    assert all(torch.equal(weight, own[name]) for name, weight in averaged.model.state_dict().items())
    changes = {
        step: [row.value for row in found.rows if row.metric == "relative_norm"]
        for step, probe, found in kept.rows
        if probe == "weight_change"
    }
    assert min(changes[STEPS]) > 0, "the first stage ended where it was trained to"
    assert max(changes[2 * STEPS]) == 0
    pull = ArmSpec(regulariser=RegulariserSpec.model_validate({"l2_sp": {"weight": 100.0}}))
    _, held = train(pull, planned, tmp_path / "held", watched=False)
    _, free = train(ArmSpec(), planned, tmp_path / "free", watched=False)
    assert held.said("dpo_loss")[STEPS + 1] > free.said("dpo_loss")[STEPS + 1] + 1e-3


def test_what_stages_leave_no_room_for_is_named() -> None:
    def check(**arm: Any) -> None:
        given = {"stages": [{"objective": "sft"}, {"objective": "dpo", "data": "pairs"}], **arm}
        whole = {
            "name": "tiny",
            "base": {"model_name_or_path": "tiny"},
            "data": {"train": "a.jsonl", "test": "b.jsonl", "others": {"pairs": "c.jsonl"}},
            "arms": {"one": given},
            "probes": [{"name": "weight_change"}],
            "output_dir": "out",
        }
        check_stages(StudySpec.model_validate(whole), data())

    check(regulariser={"l2_sp": {}})
    with pytest.raises(SpecError, match="learns a prompt, which dpo"):
        check(method="prompt_tuning")
    with pytest.raises(SpecError, match="over one training, not over 2 stages"):
        check(method="adalora")
    with pytest.raises(SpecError, match="'label_smoothing' speaks of the answers of SFT, which dpo has not"):
        check(regulariser={"label_smoothing": {}})


@pytest.mark.parametrize("adapted", [False, True], ids=["full", "lora"])
def test_a_reference_is_the_model_as_it_was(adapted: bool) -> None:
    base = tiny_base()
    model = tiny_lora(base) if adapted else trainable_copy(base)
    kept, ids = reference(model), torch.arange(4, 20)[None]
    before = model.eval()(input_ids=ids).logits
    assert torch.equal(kept(input_ids=ids).logits, before)
    assert not any(weight.requires_grad for weight in kept.parameters())
    shared = {w.data_ptr() for w in model.parameters()} & {w.data_ptr() for w in kept.parameters()}
    frozen = {w.data_ptr() for w in model.parameters() if not w.requires_grad}
    assert shared == frozen, "a weight that is trained must not change the reference"
    with torch.no_grad():
        for weight in model.parameters():
            if weight.requires_grad:
                weight.mul_(1.5)
    assert not torch.equal(model(input_ids=ids).logits, before)
    assert torch.equal(kept(input_ids=ids).logits, before)


@pytest.mark.parametrize(
    ("objective", "name", "sentence"),
    [
        ("dpo", "later", "'r0' has no rejected"),
        ("kto", "later", "'r0' has no label"),
    ],
)
def test_rows_that_do_not_fit_are_named(objective: str, name: str, sentence: str) -> None:
    with pytest.raises(DataError, match=sentence):
        make_objective(StageSpec(objective=objective)).check(data()[name], TrainingSpec())


def test_two_probes_of_one_name_are_refused() -> None:
    twice = (make_probe("weight_change", {}), make_probe("weight_change", {}))
    with pytest.raises(SpecError, match="asked for twice"):
        Battery(twice, Observer(steady(), data()))


def test_settings_that_do_not_fit_are_named() -> None:
    one = TrainingSpec(per_device_train_batch_size=1)
    with pytest.raises(SpecError, match="at least 2 rows per batch"):
        make_objective(StageSpec(objective="kto")).check(data()["pairs"], one)
    with pytest.raises(SpecError, match="Did you mean 'beta'"):
        make_objective(StageSpec(objective="dpo", options={"bet": 1.0}))
    with pytest.raises(SpecError, match="no loss 'sigmod'"):
        make_objective(StageSpec(objective="dpo", options={"loss_type": "sigmod"}))
    with pytest.raises(SpecError, match="above 0, not 'high'"):
        make_objective(StageSpec(objective="kto", options={"beta": "high"}))
    from peft import PromptTuningConfig, TaskType, get_peft_model

    soft = PromptTuningConfig(task_type=TaskType.CAUSAL_LM, num_virtual_tokens=2)
    with pytest.raises(SpecError, match="soft prompts"):
        reference(get_peft_model(trainable_copy(tiny_base()), soft))


def test_judged_answers_need_no_pairs(tmp_path: Path) -> None:
    rows = [replace(e, meta={DESIRABLE: i % 2 == 0}) for i, e in enumerate(data()["test"])]
    sets = DataSets({**data(), "pairs": Dataset("pairs", tuple(rows))})
    objective = make_objective(StageSpec(objective="kto"))
    run = ArmRun(arm=ArmSpec(), training=TrainingSpec(per_device_train_batch_size=4), seed=0)
    table = objective.rows(run, tiny_base(), DataSets({**sets, "train": sets["pairs"]}))
    assert sum(table["label"]) == len(table) / 2 == 8
