"""All probes of a checkpoint in one look: against one probe at a time, and against the forward pass alone."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import yaml

from analyses.performance.bench import Result, Row, Settings, at_least, at_most, overhead, race, speedup
from analyses.performance.floor import Floor, Sequences
from analyses.performance.material import ARM, demo, train
from sft_probe import parse_study
from sft_probe.execute.prepare import Prepared, prepare, task_folders
from sft_probe.observe.needs import Need
from sft_probe.observe.observations import Observed
from sft_probe.observe.observer import Observer
from sft_probe.probes.base import Probe
from sft_probe.probes.battery import Battery
from sft_probe.schema import Measurements
from sft_probe.study.spec import StudySpec
from sft_probe.study.templates import read_template

ALONE = "each probe looking at model and base itself, as separate scripts do"
TODAY = (
    "each need of each probe in passes of its own over model and base, each choice behind its whole context, "
    "nothing shared or kept"
)
# Weights of canonical directions that hardly differ in variance are fixed to few digits by float32 states.
COARSE = {"pwcca": 5e-3}
BESIDE = ("all",)  # probes of the second battery, beside the demo's


def run(settings: Settings) -> Result:
    """The demo's battery, and every registered probe that the demo's data allow, on a fine-tuned model."""
    spec, prepared = demo(settings.work)
    tuned = train(spec, prepared, settings.work / "trainer").model
    rows: list[Row] = []
    setting: dict[str, Any] = {"model": f"planted base (3.0 M parameters), fine-tuned as the demo's {ARM}"}
    for name, one in (("demo", prepared), ("all probes", prepare(every_probe(spec, settings.work / "all")))):
        compared = Comparison(one, task_folders((), spec.output_dir), tuned)
        rows += compared.rows(name, min(5, settings.repetitions))
        rows += compared.rows_anew(name, min(3, settings.repetitions)) if one is prepared else []
        setting |= {f"{name}: {key}": value for key, value in compared.described().items()}
    return Result(
        name="fused_battery",
        question="What does it save to look once for all probes, and how far is that from the forward alone?",
        goal="at least 3 times as fast as one probe at a time; at most 1.3 times the forward time of the "
        "distinct tokens",
        rows=tuple(rows),
        setting=setting,
        notes=NOTES,
    )


def every_probe(spec: StudySpec, output_dir: Path) -> StudySpec:
    """The demo with all other registered probes beside its own, as far as its data allow them."""
    raw = yaml.safe_load(read_template("demo"))
    raw |= {"probes": [*raw["probes"], *BESIDE], "output_dir": str(output_dir)}
    return parse_study(yaml.safe_dump(raw), file="demo.yaml")


class Comparison:
    """One battery, looking as one and probe by probe, with the same answers."""

    def __init__(self, prepared: Prepared, folders: tuple[Path, ...], tuned: Any) -> None:
        self.prepared, self.folders, self.tuned = prepared, folders, tuned
        self.fused = prepared.battery()
        self.apart = [Battery((probe,), prepared.observer) for probe in prepared.probes]
        self.read, self.alone = Sequences(), [Sequences() for _ in self.apart]
        self.same = self._agreement()
        self.floor, self.base_floor = Floor.of(self.read.taken), Floor.of(self.read.by_base)

    def _agreement(self) -> str:
        """Both ways compared row by row before anything is timed; what each of them reads is noted."""
        self.fused.measure(self.tuned)  # what the base shows is seen first, and is not part of a look
        apart: dict[str, Measurements] = {}
        for battery, read in zip(self.apart, self.alone, strict=True):
            with read.recording(self.tuned):
                apart |= battery.measure(self.tuned)
        with self.read.recording(self.tuned):
            return agreement(self.fused.measure(self.tuned), apart)

    def rows(self, name: str, repetitions: int) -> list[Row]:
        """What the look costs against the other ways to see the same."""
        self.fused.seconds.clear()
        timings = race(
            {
                "fused": lambda: self.fused.measure(self.tuned),
                "apart": lambda: [battery.measure(self.tuned) for battery in self.apart],
                "floor": self._floor_alone,
            },
            repetitions,
        )
        fused = timings["fused"]
        return [
            speedup(f"{name}: one probe at a time", fused, timings["apart"], at_least(3), self.same),
            Row(
                case=f"{name}: distinct tokens of each probe, added up, against those of one look",
                value=sum(Floor.of(read.taken).tokens for read in self.alone) / self.floor.tokens,
                unit="times, the most that fusing can save where reading is all that takes time",
            ),
            overhead(f"{name}: forward pass over the distinct tokens", fused, timings["floor"], at_most(1.3)),
            *shares(name, self.fused, repetitions + 1),
        ]

    def rows_anew(self, name: str, repetitions: int) -> list[Row]:
        """The same where nothing was seen of the base before, as it is for separate scripts."""
        sides = {
            "fused": lambda: Battery(self.prepared.probes, self._anew()).measure(self.tuned),
            "apart": self._apart_anew,
            "today": self._as_today,
            "later": lambda: self.fused.measure(self.tuned),
        }
        same = agreement(self.fused.measure(self.tuned), self._as_today())
        timings = race(sides, repetitions)
        fused, today = timings["fused"], timings["today"]
        return [
            speedup(f"{name}: {ALONE}", fused, timings["apart"], at_least(3), self.same),
            speedup(f"{name}: {TODAY}, against a first look with its base", fused, today, same=same),
            speedup(f"{name}: the same, against a later look", timings["later"], today, same=same),
        ]

    def described(self) -> Mapping[str, Any]:
        """What was looked at."""
        return {
            "probes": ", ".join(probe.name for probe in self.prepared.probes),
            "positions computed in one look, padding included": self.read.computed,
            "distinct tokens": self.floor.tokens,
            "distinct tokens that the base must read as well": self.base_floor.tokens,
        }

    def _anew(self) -> Observer:
        return Observer(self.prepared.base, self.prepared.data, benchmark_paths=self.folders)

    def _apart_anew(self) -> None:
        for probe in self.prepared.probes:
            Battery((probe,), self._anew()).measure(self.tuned)

    def _as_today(self) -> dict[str, Measurements]:
        with nothing_shared():
            return {probe.name: self._by_need(probe) for probe in self.prepared.probes}

    def _by_need(self, probe: Probe) -> Measurements:
        seen: dict[Need, Any] = {}
        base: dict[Need, Any] = {}
        for need in probe.needs():
            observer = self._anew()
            base |= {need: observer.look_at_base([need])[need]}
            seen |= {need: observer.look(self.tuned, [need])[need]}
        return probe.measure(Observed(seen), Observed(base))

    def _floor_alone(self) -> None:
        self.floor.forward(self.tuned)
        self.base_floor.forward(self.prepared.base.model)


@contextmanager
def nothing_shared() -> Iterator[None]:
    """While it holds, no context is shared: each choice is read behind its whole context, answers apart."""
    with ExitStack() as stack:
        for name, module in list(sys.modules.items()):
            for switch in ("can_branch", "packs"):
                if name.startswith("sft_probe.observe") and switch in vars(module):
                    stack.enter_context(patch.object(module, switch, lambda model: False))
        yield


def agreement(fused: Mapping[str, Measurements], apart: Mapping[str, Measurements]) -> str:
    """How far the rows of both ways are apart. Raises: AssertionError beyond rounding."""
    rows = [
        (row, other)
        for probe in fused
        for row, other in zip(fused[probe].rows, apart[probe].rows, strict=True)
    ]
    ours, theirs = (np.array([pair[side].value for pair in rows]) for side in (0, 1))
    close = np.array([COARSE.get(row.metric, 1e-4) for row, _ in rows])
    if not np.all((abs(ours - theirs) <= close * (1 + abs(theirs))) | (np.isnan(ours) & np.isnan(theirs))):
        raise AssertionError(f"fused and single probes differ: {np.nanmax(abs(ours - theirs))}")
    return f"all {len(ours)} rows to {np.nanmax(abs(ours - theirs)):.0e}"


def shares(name: str, battery: Battery, looks: int) -> list[Row]:
    """Where the time of a look goes, by the battery's own clock; what takes less than 2 % is left out."""
    whole = sum(battery.seconds.values())
    return [
        Row(case=f"{name}: of it {activity}", value=seconds / looks, unit="s")
        for activity, seconds in sorted(battery.seconds.items(), key=lambda pair: -pair[1])
        if seconds > 0.02 * whole
    ]


NOTES = (
    "The demo's battery is six probes, lm-eval's `world` group at 80 items a task among them; the second "
    "battery adds every other registered probe that the demo's data allow, with its default options.",
    "One probe at a time profits from the same engine (shared prompts, batches by length, the base kept in "
    "memory), so the first figure is what fusing alone saves.",
    "Where the first goal is missed: most probes look at text of their own (plain text, benchmark items, "
    "weights), and what is read once cannot be saved. The distinct tokens of each probe, added up, say how "
    "much fusing could save if reading were all that takes time.",
    "The floor reads every distinct token behind its context once, all answers forced in one pass, with "
    "logits of the predicted tokens, and the model's own answers with the base as well where a probe "
    "compares both on them; nothing else: no tokenisation, no softmax, no statistics, no intervals.",
    "What stays the same from look to look is kept by both sides of a later look: what the base shows, and "
    "what lm-eval makes of its documents (requests, their tokens, targets and choices as text). Answers "
    "begin in the pass over the expected ones, which other needs read anyway, and go on behind its cache; "
    "what is asked about them afterwards is told by the states in which they were made.",
    "Where the second goal is missed: with 3 M parameters a token costs 0.1 ms, so that lm-eval's judgement "
    "of each item, CKA with its jackknife, text scores and intervals weigh as much as reading. That part "
    "does not grow with the model. Answers that leave the expected one are made token by token.",
)
