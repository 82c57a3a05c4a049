"""What a study will cost: its looks planned one after the other, timed on the base itself."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sft_probe.execute.timing import ForwardSpeed, peak_memory, time_forward, time_training
from sft_probe.observe.planning import Group, LookPlan, Planner, Wanted
from sft_probe.stats.intervals import cluster_codes
from sft_probe.stats.power import planned_effect
from sft_probe.study.arms import looks_at, stages_of
from sft_probe.train.sft import ArmRun

if TYPE_CHECKING:
    from sft_probe.models.load import LoadedModel
    from sft_probe.observe.needs import Need
    from sft_probe.observe.workload import Work
    from sft_probe.probes.base import Probe
    from sft_probe.probes.selection import Selection
    from sft_probe.study.spec import StudySpec

LAST = "last look of a run, all probes"
BYTES_KEPT = 4  # of a number that is remembered of the base


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A kind of look, how often it is taken, and what one of them costs; seconds of its forward passes."""

    name: str
    times: int
    work: Work
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """One arm, or one of its stages: seconds of an optimiser step, and steps over all seeds."""

    arm: str
    steps: int
    seconds_per_step: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """How small a change of a share of right answers a study will find with 80 % power, and from what.

    data: a data set or the tasks of a benchmark.  detectable: smallest change if a tenth of the items flip.
    """

    data: str
    items: int
    clusters: int
    detectable: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """The plan of a study.

    groups: of a look that all probes take part in. work: of all looks. look_seconds: of their forward passes;
    judging what was seen comes on top. peak_memory: bytes, measured over the largest planned pass and the
    first steps of every arm, with what is kept of the base added.  reach: of the test set and the benchmarks.
    """

    groups: tuple[Group, ...]
    stages: tuple[Stage, ...]
    trainings: tuple[Training, ...]
    work: Work
    speed: ForwardSpeed
    look_seconds: float
    training_seconds: float
    peak_memory: int
    reach: tuple[Reach, ...] = ()


def estimate(
    spec: StudySpec, base: LoadedModel, chosen: Selection, benchmark_paths: tuple[Path, ...]
) -> Estimate:
    """Plan and time a study. Nothing is kept of it.

    Arms that edit rows are planned with the rows as they are given.
    Raises: InputError where a look could not be taken.
    """
    planner = Planner(base, chosen.data, benchmark_paths=benchmark_paths)
    looks = list(_looks(spec, planner, chosen.probes))
    largest = max(look.largest for _, look in looks)
    width = max(look.width for _, look in looks)
    speed = time_forward(base.model, width=width, tokens=max(largest, width))
    counted: dict[tuple[str, Work], int] = {}
    for name, look in looks:
        counted[name, look.work] = counted.get((name, look.work), 0) + 1
    stages = tuple(
        Stage(name=name, times=times, work=work, seconds=speed.seconds(work))
        for (name, work), times in counted.items()
    )
    trainings = tuple(_trainings(spec, base, chosen))
    return Estimate(
        groups=next(look.groups for name, look in looks if name == LAST),
        stages=stages,
        trainings=trainings,
        work=sum((stage.work * stage.times for stage in stages[1:]), stages[0].work * stages[0].times),
        speed=speed,
        look_seconds=sum(stage.seconds * stage.times for stage in stages),
        training_seconds=sum(training.seconds_per_step * training.steps for training in trainings),
        peak_memory=peak_memory() + BYTES_KEPT * planner.kept,
        reach=tuple(_reach(chosen, planner)),
    )


def wanted(probes: Iterable[Probe]) -> Wanted:
    """The needs of probes, each with those that have it."""
    found: dict[Need, tuple[str, ...]] = {}
    for probe in probes:
        for need in dict.fromkeys(probe.needs()):
            found[need] = (*found.get(need, ()), probe.name)
    return found


def _looks(spec: StudySpec, planner: Planner, probes: Iterable[Probe]) -> Iterator[tuple[str, LookPlan]]:
    """All looks of a study in their order. At step 0 a model is its base, so nothing is read."""
    every = wanted(probes)
    often = wanted(probe for probe in probes if probe.name not in spec.schedule.ends_only)
    planned: dict[tuple[str, ...], list[LookPlan]] = {}
    yield "base, once", planner.look_at_base(every)
    for _seed in spec.seeds:
        for arm in spec.arms:
            ends = {stage.last for stage in stages_of(spec, arm)}
            names = tuple(LAST if step in ends else "look" for step in looks_at(spec, arm)[1:])
            if names not in planned:
                planner.forget()
                planned[names] = [planner.look(often if name == "look" else every) for name in names]
            yield from zip(names, planned[names], strict=True)


def _reach(chosen: Selection, planner: Planner) -> Iterator[Reach]:
    rows = chosen.data["test"]
    groups = len(set(cluster_codes([row.cluster for row in rows]).tolist()))
    counts = {"test": (len(rows), groups)}
    counts |= {", ".join(need.tasks): (n, n) for need, n in planner.documents.items() if not need.under}
    for data, (items, clusters) in counts.items():
        found = planned_effect(items, clusters=clusters)
        yield Reach(data=data, items=items, clusters=clusters, detectable=found)


def _trainings(spec: StudySpec, base: LoadedModel, chosen: Selection) -> Iterator[Training]:
    """Stages whose steps differ in nothing that takes time are timed once, each from the base."""
    timed: dict[str, float] = {}
    for name, arm in spec.arms.items():
        for stage in stages_of(spec, name):
            decisive = stage.training.model_dump(exclude={"learning_rate", "max_steps", "warmup_steps"})
            stated = stage.spec.model_dump(exclude={"training"})
            alike = repr((arm.method, arm.method_options, arm.regulariser, stated, decisive))
            if alike not in timed:
                run = ArmRun(arm=arm, training=stage.training, seed=0, max_length=spec.data.max_length)
                with tempfile.TemporaryDirectory() as scratch:
                    timed[alike] = time_training(run, stage, base, chosen.data, Path(scratch))
            shown = f"{name} ({stage.name})" if arm.stages else name
            steps = stage.training.max_steps * len(spec.seeds)
            yield Training(arm=shown, steps=steps, seconds_per_step=timed[alike])
