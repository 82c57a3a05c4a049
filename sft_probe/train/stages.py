"""An arm from its first stage to its last: one model, trained by one trainer after another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from sft_probe.data.examples import DataSets
from sft_probe.registry import make
from sft_probe.study.arms import Stage, stages_of
from sft_probe.study.spec import StageSpec
from sft_probe.train.sft import ArmRun, TrainedArm, adapted, trained_arm

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
        rows = objective.rows(own, base, rows_of(stage.spec, data))
        dropout = _dropout(model)
        trainer = objective.trainer(model, rows, own, base, scratch, callbacks(stage))
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
        for stage in stages_of(spec, name) if arm.stages else ():
            make_objective(stage.spec).check(rows_of(stage.spec, data)[TRAIN], stage.training)


def _dropout(model: nn.Module) -> dict[nn.Dropout, float]:
    from torch import nn

    return {module: module.p for module in model.modules() if isinstance(module, nn.Dropout)}
