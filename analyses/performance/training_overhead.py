"""Training with probes against training without: the hooks that are always on, and twelve full batteries."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from transformers import TrainerCallback

from analyses.performance.bench import Goal, Result, Row, Settings, at_most, race
from analyses.performance.material import ARM, demo, train
from sft_probe import Battery, Measurements, ProbeHost
from sft_probe.execute.prepare import Prepared
from sft_probe.study.schedule import probe_steps
from sft_probe.study.spec import StudySpec

STEPS = 60
LONGER = 180
BATTERIES = 12
BOUND = 40  # percent of training that twelve batteries may take
SAME = "weights bit-identical (tests/train/test_host.py)"


class Nowhere:
    """A sink that keeps nothing, so that only looking is timed."""

    def append(self, step: int, probe: str, measurements: Measurements) -> None:
        pass

    def log(self, step: int, values: Mapping[str, float]) -> None:
        pass


class Timed(ProbeHost):
    """A host that counts the time that the trainer spends inside it: `wall` and `process`, in seconds.

    What it hears of each forward pass is counted too.
    """

    wall = process = 0.0

    def on_train_begin(self, *given: Any, **rest: Any) -> None:
        with self._counted():
            super().on_train_begin(*given, **rest)
        assert self._dynamics is not None
        heard = self._dynamics._losses._heard

        def counted(*passed: Any) -> None:
            with self._counted():
                heard(*passed)

        self._dynamics._handle.remove()
        self._dynamics._handle = rest["model"].register_forward_hook(counted, with_kwargs=True)

    def on_pre_optimizer_step(self, *given: Any, **rest: Any) -> None:
        with self._counted():
            super().on_pre_optimizer_step(*given, **rest)

    def on_optimizer_step(self, *given: Any, **rest: Any) -> None:
        with self._counted():
            super().on_optimizer_step(*given, **rest)

    def on_step_end(self, *given: Any, **rest: Any) -> None:
        with self._counted():
            super().on_step_end(*given, **rest)

    def on_train_end(self, *given: Any, **rest: Any) -> None:
        with self._counted():
            super().on_train_end(*given, **rest)

    def on_log(self, *given: Any, **rest: Any) -> None:
        with self._counted():
            super().on_log(*given, **rest)

    @contextmanager
    def _counted(self) -> Iterator[None]:
        start, used = time.perf_counter(), time.process_time()
        yield
        self.wall += time.perf_counter() - start
        self.process += time.process_time() - used


@dataclass(frozen=True)
class Watched:
    """One training: seconds in the host, and seconds of everything else, on the clock and on processors."""

    inside: tuple[float, float]
    outside: tuple[float, float]

    @property
    def shares(self) -> tuple[float, float]:
        """What the host adds, in percent of training without it."""
        wall, process = (100 * a / b for a, b in zip(self.inside, self.outside, strict=True))
        return wall, process


@dataclass(frozen=True)
class Training:
    """The demo's training, with a host or without one."""

    spec: StudySpec
    prepared: Prepared
    scratch: Path

    def plain(self, callback: TrainerCallback | None = None, steps: int = STEPS) -> None:
        train(self.spec, self.prepared, self.scratch, [callback] if callback else [], steps=steps)

    def idle(self) -> Watched:
        """A host without probes: what it records of training itself, and nothing else."""
        return self.watched(Timed(Battery((), self.prepared.observer), (), Nowhere()))

    def default(self) -> Watched:
        """The demo's own schedule, with lm-eval at both ends only."""
        steps, ends = probe_steps(self.spec.schedule, STEPS), self.spec.schedule.ends_only
        return self.watched(Timed(self.prepared.battery(), steps, Nowhere(), ends_only=ends))

    def twelve(self, steps: int) -> Watched:
        """All probes at twelve steps, evenly spaced; at step 0 as well, where the base is known already."""
        looks = tuple(round(steps * number / BATTERIES) for number in range(1, BATTERIES + 1))
        return self.watched(Timed(self.prepared.battery(), looks, Nowhere()), steps)

    def watched(self, host: Timed, steps: int = STEPS) -> Watched:
        start, used = time.perf_counter(), time.process_time()
        self.plain(host, steps)
        whole = time.perf_counter() - start, time.process_time() - used
        return Watched((host.wall, host.process), (whole[0] - host.wall, whole[1] - host.process))


def run(settings: Settings) -> Result:
    """In the demo's setting: planted base, full fine-tuning, 60 steps of 16 rows."""
    spec, prepared = demo(settings.work)
    training = Training(spec, prepared, settings.work / "trainer")
    prepared.battery().measure(prepared.base.model)  # the base is looked at once per study
    idle: list[Watched] = []
    timings = race(
        {"plain": training.plain, "hooks": lambda: idle.append(training.idle())}, min(3, settings.repetitions)
    )
    twelve, longer = training.twelve(STEPS), training.twelve(LONGER)
    return Result(
        name="training_overhead",
        question="How much longer does training take with probes?",
        goal="hooks at most 2 %, twelve full batteries at most 40 % of training time in the demo's setting",
        rows=(
            share(f"hooks that are always on, {STEPS} steps", idle, at_most(2)),
            Row(
                case="the same as the difference of whole trainings, which a shared machine blurs",
                value=100 * (timings["hooks"].seconds / timings["plain"].seconds - 1),
                process_value=100 * (timings["hooks"].process_seconds / timings["plain"].process_seconds - 1),
                unit="% more",
                ours=timings["hooks"],
                other=timings["plain"],
            ),
            share(f"the demo's schedule (lm-eval at both ends), {STEPS} steps", [training.default()]),
            share(f"{BATTERIES} full batteries, {STEPS} steps", [twelve], at_most(BOUND)),
            share(f"{BATTERIES} full batteries, {LONGER} steps", [longer]),
            Row(
                case=f"steps of training from which on {BATTERIES} full batteries are {BOUND} % or less",
                value=steps_until(BOUND, twelve, longer),
                unit="steps",
            ),
            Row(case="one full battery", value=longer.inside[0] / BATTERIES, unit="s"),
        ),
        setting={
            "training": f"demo, {ARM}, 16 rows per step",
            "one step": f"{(longer.outside[0] - twelve.outside[0]) / (LONGER - STEPS):.3f} s",
            "battery": ", ".join(probe.name for probe in prepared.probes),
        },
        notes=NOTES,
    )


def share(case: str, runs: list[Watched], goal: Goal | None = None) -> Row:
    """What the host added to training, in percent of the rest of the same training; median of the runs."""
    wall, process = (median(values) for values in zip(*(one.shares for one in runs), strict=True))
    return Row(
        case=case,
        value=wall,
        process_value=process,
        unit="% of training",
        goal=goal,
        same=SAME if goal else "",
    )


def steps_until(bound: float, short: Watched, long: Watched) -> float:
    """Steps of training, a start and equal steps, of which the host of `long` takes `bound` percent."""
    per_step = (long.outside[0] - short.outside[0]) / (LONGER - STEPS)
    start = short.outside[0] - STEPS * per_step
    return (100 * long.inside[0] / bound - start) / per_step


NOTES = (
    "Training is `run_sft` as a whole: copying the base, tokenising 1,000 rows, the steps. What the host "
    "adds is counted inside its callbacks and compared with the rest of the same training, so that other "
    "users of the machine weigh on both alike.",
    "A full battery is the demo's six probes, lm-eval's `world` group among them; the demo's own schedule "
    "leaves that one to both ends of training.",
    "What a battery costs does not depend on how long training is, so the share falls as one over the number "
    "of steps. Where the goal is missed: sixty steps of a model with 3 M parameters are seconds, and each "
    "battery looks at 160 test rows, 120 documents and 400 benchmark items (`fused_battery` says where its "
    "time goes). Fewer items per look, or slow probes at both ends only, as the demo has it, close the gap; "
    "so does training of ordinary length.",
)
