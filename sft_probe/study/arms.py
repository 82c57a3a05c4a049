"""From a study to its jobs: one training run per arm and seed."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

from sft_probe.errors import SpecError, nearest
from sft_probe.study.schedule import stage_steps
from sft_probe.study.spec import ArmSpec, StageSpec, StudySpec, TrainingSpec


@dataclass(frozen=True, slots=True)
class Job:
    """One training run. digest: sha256 over everything that decides its numbers."""

    arm: str
    seed: int
    run_id: str
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One training of an arm, its settings resolved. first: steps that the arm took before it."""

    spec: StageSpec
    training: TrainingSpec
    first: int = 0

    @property
    def last(self) -> int:
        """Step of the arm at which it ends."""
        return self.first + self.training.max_steps

    @property
    def name(self) -> str:
        """Its objective, with its data if they are not the arm's own rows."""
        return f"{self.spec.objective}, {self.spec.data}" if self.spec.data else self.spec.objective


def arm_of(spec: StudySpec, arm: str) -> ArmSpec:
    """One arm by name. Raises: SpecError with the nearest known name."""
    if arm not in spec.arms:
        raise SpecError(f"the study has no arm named '{arm}'.", remedy=nearest(arm, spec.arms))
    return spec.arms[arm]


def resolve(spec: StudySpec, arm: str) -> TrainingSpec:
    """Training settings of an arm: those of the study, overridden field by field."""
    return TrainingSpec.model_validate({**spec.training.model_dump(), **arm_of(spec, arm).training})


def stages_of(spec: StudySpec, arm: str) -> tuple[Stage, ...]:
    """The trainings of an arm one after the other; one of SFT where it names none."""
    whole, found = resolve(spec, arm), list[Stage]()
    for stage in arm_of(spec, arm).stages or (StageSpec(),):
        training = TrainingSpec.model_validate({**whole.model_dump(), **stage.training})
        found.append(Stage(spec=stage, training=training, first=found[-1].last if found else 0))
    return tuple(found)


def looks_at(spec: StudySpec, arm: str) -> tuple[int, ...]:
    """Steps at which probes look at an arm, ascending, each once; the end of every stage is one."""
    found = {stage.last for stage in stages_of(spec, arm)} | {0}
    for stage in stages_of(spec, arm):
        steps = stage_steps(spec.schedule, stage.first, stage.training.max_steps)
        found |= {stage.first + step for step in steps}
    return tuple(sorted(found))


def trains_all_turns(spec: StudySpec) -> bool:
    """Whether some stage has loss on all turns of the assistant."""
    return any(stage.training.loss_on == "assistant" for arm in spec.arms for stage in stages_of(spec, arm))


def jobs(spec: StudySpec) -> tuple[Job, ...]:
    """All runs of a study, seed by seed, so that a study stopped early can still compare its arms."""
    return tuple(
        Job(arm, seed, f"{arm}-seed{seed}", job_digest(spec, arm, seed))
        for seed in spec.seeds
        for arm in spec.arms
    )


def job_digest(spec: StudySpec, arm: str, seed: int) -> str:
    """sha256 over one run's settings. Names, labels, places, other arms and other seeds do not count.

    The content of the data and of the base does not stand in a study; who runs it adds their digests.
    """
    arm_parts = {"label", "training"} if arm_of(spec, arm).stages else {"label", "training", "stages"}
    decisive = {
        "base": spec.base.model_dump(mode="json"),
        "data": spec.data.model_dump(mode="json", exclude={"allow"}),
        "data_seed": spec.data_seed,
        "training": resolve(spec, arm).model_dump(mode="json"),
        "arm": arm_of(spec, arm).model_dump(mode="json", exclude=arm_parts),
        "seed": seed,
        "probes": [probe.model_dump(mode="json") for probe in spec.probes],
        "schedule": spec.schedule.model_dump(mode="json"),
    }
    if spec.revive:
        decisive["revive"] = spec.revive.model_dump(mode="json")
    return hashlib.sha256(json.dumps(decisive, sort_keys=True, ensure_ascii=False).encode()).hexdigest()
