"""What a benchmark is made of: settings, a fair race, figures judged by goals, memory of a fresh process.

The machine is shared, so the sides of a race alternate within one process, the order turns round at every
repetition, medians are compared, and the processor time of the process stands beside wall time.
"""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from importlib.metadata import version
from importlib.util import find_spec
from math import isnan
from pathlib import Path
from statistics import median
from typing import Any

BENCH = "-c constraints.txt -e '.[bench]'"  # the peers of the package registry


@dataclass(frozen=True, kw_only=True)
class Settings:
    """real: folder with models/ and data/, or None. work: folder for scratch files. repetitions: per side."""

    output_dir: Path
    work: Path
    real: Path | None = None
    repetitions: int = 7


@dataclass(frozen=True)
class Timing:
    """Seconds of every repetition of one side: on the clock, and of this process on its processors."""

    wall: tuple[float, ...]
    process: tuple[float, ...]

    @cached_property
    def seconds(self) -> float:
        """Median on the clock."""
        return median(self.wall)

    @cached_property
    def process_seconds(self) -> float:
        """Median on the processors."""
        return median(self.process)


@dataclass(frozen=True)
class Goal:
    """A bound fixed before the run."""

    bound: float
    at_least: bool

    def met(self, value: float) -> bool:
        """Whether a figure keeps the bound. NaN does not."""
        return value >= self.bound if self.at_least else value <= self.bound

    def __str__(self) -> str:
        return f"{'≥' if self.at_least else '≤'} {self.bound:g}"


def at_least(bound: float) -> Goal:
    return Goal(bound, at_least=True)


def at_most(bound: float) -> Goal:
    return Goal(bound, at_least=False)


@dataclass(frozen=True, kw_only=True)
class Row:
    """One figure of a benchmark.

    case: what was compared, with sizes. value: the figure that is judged, in `unit`. process_value: the same
    from processor time, NaN where it does not apply. same: how the answers of both sides agreed, which was
    checked before they were timed. ours, other: the timings behind the figure, if it is a ratio of times.
    """

    case: str
    value: float
    unit: str
    goal: Goal | None = None
    process_value: float = float("nan")
    same: str = ""
    ours: Timing | None = None
    other: Timing | None = None


@dataclass(frozen=True, kw_only=True)
class Result:
    """What one benchmark found.

    setting: model, data, batch sizes. versions: of the peers. notes: what a reader must know, for misses
    also where the time goes and what would close the gap. figure: name of a picture beside the report, or "".
    """

    name: str
    question: str
    goal: str
    rows: tuple[Row, ...]
    setting: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    figure: str = ""


def race(sides: Mapping[str, Callable[[], object]], repetitions: int) -> dict[str, Timing]:
    """Time all sides in turn, after one untimed run of each; every other round in the reverse order."""
    wall: dict[str, list[float]] = {name: [] for name in sides}
    process: dict[str, list[float]] = {name: [] for name in sides}
    names = list(sides)
    for name in names:
        sides[name]()
    for repetition in range(repetitions):
        for name in names if repetition % 2 == 0 else names[::-1]:
            gc.collect()
            start, used = time.perf_counter(), time.process_time()
            sides[name]()
            process[name].append(time.process_time() - used)
            wall[name].append(time.perf_counter() - start)
    return {name: Timing(tuple(wall[name]), tuple(process[name])) for name in sides}


def speedup(case: str, ours: Timing, other: Timing, goal: Goal | None = None, same: str = "") -> Row:
    """How many times as long as ours the other side took, by medians."""
    return Row(
        case=case,
        value=other.seconds / ours.seconds,
        unit="times faster",
        goal=goal,
        process_value=other.process_seconds / ours.process_seconds,
        same=same,
        ours=ours,
        other=other,
    )


def overhead(case: str, ours: Timing, floor: Timing, goal: Goal | None = None, same: str = "") -> Row:
    """How many times as long as the floor ours took, by medians."""
    return Row(
        case=case,
        value=ours.seconds / floor.seconds,
        unit="times the floor",
        goal=goal,
        process_value=ours.process_seconds / floor.process_seconds,
        same=same,
        ours=ours,
        other=floor,
    )


def in_fresh_process(function: str, **arguments: Any) -> dict[str, Any]:
    """Call `module:function` in a process of its own; returns what it returned, with the peak of its memory.

    arguments: whatever JSON can carry. Adds `peak_rss` and `rss_before`, in bytes: the high-water mark of the
    process, and what it held when its imports were done and the function was entered.
    """
    call = [sys.executable, "-m", "analyses.performance.child", function, json.dumps(arguments)]
    done = subprocess.run(call, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{function} failed in its own process:\n{done.stderr}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def require(**peers: str) -> dict[str, str]:
    """Versions of other tools, by name.

    peers: name of a module to what `python -m pip install` must be given to have it.
    Raises: SystemExit with one sentence that says what to install.
    """
    if missing := [name for name in peers if find_spec(name) is None]:
        wanted = " ".join(dict.fromkeys(peers[name] for name in missing))
        raise SystemExit(f"{' and '.join(missing)} cannot be imported: run `python -m pip install {wanted}`.")
    return {name: version(name) for name in peers}


def to_json(result: Result, machine: Mapping[str, Any]) -> str:
    """A result and the machine it was found on, as JSON text; NaN becomes null."""
    found = _plain({**asdict(result), "machine": machine})
    return json.dumps(found, indent=1, ensure_ascii=False) + "\n"


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    return None if isinstance(value, float) and isnan(value) else value
