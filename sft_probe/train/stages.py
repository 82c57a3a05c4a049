"""An arm from its first stage to its last: one model, trained by one trainer after another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from sft_probe.data.examples import DataSets
from sft_probe.errors import SpecError
from sft_probe.registry import make
from sft_probe.study.arms import Stage, stages_of
from sft_probe.study.spec import SFT, ArmSpec, StageSpec
from sft_probe.train.regularisers.attach import make_regularisers
from sft_probe.train.sft import ArmRun, TrainedArm, adapted, make_method, regularising, trained_arm

if TYPE_CHECKING:
    from torch import nn
    from transformers import TrainerCallback

    from sft_probe.models.load import LoadedModel
    from sft_probe.study.spec import StudySpec
    from sft_probe.train.objectives import Objective

TRAIN = "train"


def train_arm(
    run: ArmRun,
    stages: Sequence[Stage],
    base: LoadedModel,
    data: DataSets,
    scratch: Path,
    callbacks: Callable[[Stage], Sequence[TrainerCallback]],
) -> TrainedArm:
    """Train a copy of `base` through all stages of an arm. Each begins with a fresh optimiser.

    callbacks: those of a stage, whose `first` is the number of steps really taken before it.
    scratch: folder for the trainers' files.
    """
    model, taken, seen = adapted(run, base), 0, 0
    for planned in stages:
        stage, own = replace(planned, first=taken), replace(run, training=planned.training)
        objective = make_objective(stage.spec)
        given = rows_of(stage.spec, data)
        rows = objective.rows(own, base, given)
        dropout = _dropout(model)
        held = regularising(own, model, base, given, last=planned is stages[-1])
        trainer = objective.trainer(model, rows, own, base, scratch, (held, *callbacks(stage)))
        held.attach(trainer)
        result = trainer.train()
        for module, share in dropout.items():  # TRL's preference trainers switch it off for good
            module.p = share
        taken, seen = taken + int(trainer.state.global_step), seen + len(rows)
    return trained_arm(model, run, base, rows=seen, steps=taken, metrics=result.metrics)


def make_objective(stage: StageSpec) -> Objective:
    """What a stage minimises, its options checked by name. Raises: UnknownComponent, SpecError."""
    objective: Objective = make("objectives", stage.objective, stage.options, "options")
    return objective


def rows_of(stage: StageSpec, data: DataSets) -> DataSets:
    """The data with the rows of a stage as "train"."""
    return DataSets({**data, TRAIN: replace(data[stage.data], name=TRAIN)}) if stage.data else data


def check_stages(spec: StudySpec, data: DataSets) -> None:
    """Raises: InputError, before any compute, for a stage whose options, rows or settings do not fit."""
    for name, arm in spec.arms.items():
        if not arm.stages:
            continue
        for stage in stages_of(spec, name):
            make_objective(stage.spec).check(rows_of(stage.spec, data)[TRAIN], stage.training)
        _require_that_fits_stages(name, arm)


def _require_that_fits_stages(name: str, arm: ArmSpec) -> None:
    """Raises: SpecError for a method or a regulariser that the stages of an arm leave no room for."""
    method, preferring = make_method(arm), {stage.objective for stage in arm.stages} - {SFT}
    if preferring and getattr(method, "learns_prompt", False):
        raise SpecError(
            f"'{arm.method}' learns a prompt, which {min(preferring)} cannot compare with what it was.",
            field=f"arms.{name}.method",
            remedy="Use another method, such as lora.",
        )
    if len(arm.stages) > 1 and hasattr(method, "regularisers"):
        raise SpecError(
            f"'{arm.method}' plans its ranks over one training, not over {len(arm.stages)} stages.",
            field=f"arms.{name}.method",
            remedy="Use another method, such as lora.",
        )
    for part in make_regularisers(arm.regulariser.parts) if preferring else ():
        if getattr(part, "of_answers", False):
            raise SpecError(
                f"'{part.name}' speaks of the answers of SFT, which {min(preferring)} has not.",
                field=f"arms.{name}.regulariser",
            )


def _dropout(model: nn.Module) -> dict[nn.Dropout, float]:
    from torch import nn

    return {module: module.p for module in model.modules() if isinstance(module, nn.Dropout)}
