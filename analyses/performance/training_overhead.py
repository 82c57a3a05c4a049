"""Training with probes against training without: the hooks that are always on, and twelve full batteries."""

from __future__ import annotations

from collections.abc import Mapping

from transformers import TrainerCallback

from analyses.performance.bench import Result, Row, Settings, Timing, at_most, race
from analyses.performance.material import demo, train
from sft_probe import Battery, Measurements, ProbeHost
from sft_probe.execute.prepare import Prepared
from sft_probe.study.schedule import probe_steps
from sft_probe.study.spec import StudySpec

BATTERIES = 12
LONGER = (60, 120, 240)


class Nowhere:
    """A sink that keeps nothing, so that only looking is timed."""

    def append(self, step: int, probe: str, measurements: Measurements) -> None:
        pass

    def log(self, step: int, values: Mapping[str, float]) -> None:
        pass


def run(settings: Settings) -> Result:
    """In the demo's setting: planted base, full fine-tuning, 60 steps of 16 rows."""
    spec, prepared = demo(settings.work)
    scratch = settings.work / "trainer"
    prepared.battery().measure(prepared.base.model)  # the base is looked at once per study

    def training(callback: TrainerCallback | None, steps: int | None = None) -> None:
        train(spec, prepared, scratch, [callback] if callback else [], steps=steps)

    default = probe_steps(spec.schedule, 60)
    timings = race(
        {
            "plain": lambda: training(None),
            "hooks": lambda: training(idle(prepared)),
            "default": lambda: training(watching(spec, prepared, default, everything=False)),
            "twelve": lambda: training(watching(spec, prepared, _spread(60), everything=True)),
        },
        min(5, settings.repetitions),
    )
    plain = timings["plain"]
    rows = [
        extra("hooks of an idle host, 60 steps", timings["hooks"], plain, 2),
        extra(
            f"the demo's schedule ({len(default)} looks, lm-eval at the ends), 60 steps",
            timings["default"],
            plain,
        ),
        extra(f"{BATTERIES} full batteries, 60 steps", timings["twelve"], plain, 40),
    ]
    for steps in LONGER[1:]:
        longer = race(
            {
                "plain": lambda steps=steps: training(None, steps),  # type: ignore[misc]
                "twelve": lambda steps=steps: training(  # type: ignore[misc]
                    watching(spec, prepared, _spread(steps), everything=True), steps
                ),
            },
            1,
        )
        rows.append(extra(f"{BATTERIES} full batteries, {steps} steps", longer["twelve"], longer["plain"]))
    return Result(
        name="training_overhead",
        question="How much longer does training take with probes?",
        goal="hooks at most 2 %, twelve full batteries at most 40 % of training time in the demo's setting",
        rows=tuple(rows),
        setting={
            "training": "demo, full 5e-4, 60 steps of 16 rows unless said otherwise",
            "battery": ", ".join(probe.name for probe in prepared.probes),
            "one step": f"{plain.seconds / 60:.3f} s",
        },
        notes=NOTES,
    )


def idle(prepared: Prepared) -> ProbeHost:
    """A host without probes: everything that is called at every step, and nothing else."""
    return ProbeHost(Battery((), prepared.observer), (), Nowhere())


def watching(spec: StudySpec, prepared: Prepared, steps: tuple[int, ...], *, everything: bool) -> ProbeHost:
    """A host with the demo's battery; with `everything`, slow probes look every time as well."""
    ends_only = () if everything else spec.schedule.ends_only
    return ProbeHost(prepared.battery(), steps, Nowhere(), ends_only=ends_only)


def _spread(steps: int) -> tuple[int, ...]:
    """Twelve looks: both ends and ten between."""
    return tuple(round(steps * i / (BATTERIES - 1)) for i in range(BATTERIES))


def extra(case: str, watched: Timing, plain: Timing, goal: float | None = None) -> Row:
    """What was added to the time of plain training, in percent of it."""
    return Row(
        case=case,
        value=100 * (watched.seconds / plain.seconds - 1),
        unit="% more",
        goal=None if goal is None else at_most(goal),
        process_value=100 * (watched.process_seconds / plain.process_seconds - 1),
        same="weights bit-identical (tests/train/test_host.py)",
        ours=watched,
        other=plain,
    )


NOTES = (
    "Times are of `run_sft` as a whole: copying the base, tokenising 1,000 rows, the training steps.",
    "A full battery is all six probes, lm-eval's `world` group among them; the demo's own schedule leaves "
    "that one to both ends of training. What a battery costs does not depend on how long training is, so the "
    "share falls as training grows.",
)
