"""From a study to its jobs: one training run per arm and seed."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

from sft_probe.errors import SpecError, nearest
from sft_probe.study.spec import ArmSpec, StudySpec, TrainingSpec


@dataclass(frozen=True, slots=True)
class Job:
    """One training run. digest: sha256 over everything that decides its numbers."""

    arm: str
    seed: int
    run_id: str
    digest: str


def arm_of(spec: StudySpec, arm: str) -> ArmSpec:
    """One arm by name. Raises: SpecError with the nearest known name."""
    if arm not in spec.arms:
        raise SpecError(f"the study has no arm named '{arm}'.", remedy=nearest(arm, spec.arms))
    return spec.arms[arm]


def resolve(spec: StudySpec, arm: str) -> TrainingSpec:
    """Training settings of an arm: those of the study, overridden field by field."""
    return TrainingSpec.model_validate({**spec.training.model_dump(), **arm_of(spec, arm).training})


def trains_all_turns(spec: StudySpec) -> bool:
    """Whether some arm has loss on all turns of the assistant."""
    return any(resolve(spec, arm).loss_on == "assistant" for arm in spec.arms)


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
    decisive = {
        "base": spec.base.model_dump(mode="json"),
        "data": spec.data.model_dump(mode="json", exclude={"allow"}),
        "data_seed": spec.data_seed,
        "training": resolve(spec, arm).model_dump(mode="json"),
        "arm": arm_of(spec, arm).model_dump(mode="json", exclude={"label", "training"}),
        "seed": seed,
        "probes": [probe.model_dump(mode="json") for probe in spec.probes],
        "schedule": spec.schedule.model_dump(mode="json"),
    }
    if spec.revive:
        decisive["revive"] = spec.revive.model_dump(mode="json")
    return hashlib.sha256(json.dumps(decisive, sort_keys=True, ensure_ascii=False).encode()).hexdigest()
