"""One cell of the simulation: a way to draw data with known truth, and a judge of what a function says."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from math import isnan, nan, sqrt
from typing import Any, Literal, NamedTuple

import numpy as np

from sft_probe.stats.intervals import Interval

Rng = np.random.Generator
Row = Any  # one data set: an array, or a tuple of arrays
MANY, SOME = 10_000, 5_000
BLOCK = 1_000  # data sets drawn at once


class Said(NamedTuple):
    """hit: 1 covered or rejected, 0 not, NaN if nothing was said.  width: of the interval, NaN for a test."""

    hit: float
    width: float = nan


@dataclass(frozen=True, kw_only=True)
class Cell:
    """draw: (rng, how many) -> that many data sets.  judge: what the function says of one of them.

    repeats: data sets come again, as counts do, so that what was said of them is remembered.
    """

    method: str
    design: str
    kind: Literal["interval", "test"]
    draw: Callable[[Rng, int], Any]
    judge: Callable[[Row, Rng], Said]
    replicates: int = MANY
    repeats: bool = False

    @property
    def key(self) -> str:
        """Names the cell in the file of results."""
        return f"{self.method} · {self.design}"


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """rate: covered, or rejected, among the data sets of which something was said."""

    method: str
    design: str
    kind: str
    rate: float
    error: float
    replicates: int
    silent: float
    width: float

    @property
    def said(self) -> bool:
        """Whether anything was said of any data set."""
        return not isnan(self.rate)

    @property
    def passed(self) -> bool:
        """By the rule of the README."""
        return 0.93 <= self.rate <= 0.97 if self.kind == "interval" else self.rate <= 0.06

    @property
    def off(self) -> float:
        """How far the rate is from what the rule allows; negative below it, 0 if it passes."""
        if self.kind == "test":
            return max(0.0, self.rate - 0.06)
        return min(0.0, self.rate - 0.93) + max(0.0, self.rate - 0.97)


def run(cell: Cell, replicates: int | None = None) -> Outcome:
    """Draw, ask, count. The cell's name seeds it, so that cells can run in any order."""
    count = min(replicates or cell.replicates, cell.replicates)
    rng = np.random.default_rng(zlib.crc32(cell.key.encode()))
    known: dict[bytes, Said] = {}
    said = []
    for start in range(0, count, BLOCK):
        for row in cell.draw(rng, min(BLOCK, count - start)):
            if not cell.repeats:
                said.append(cell.judge(row, rng))
                continue
            key = np.asarray(row).tobytes()
            if key not in known:
                known[key] = cell.judge(row, rng)
            said.append(known[key])
    hits, widths = (np.array(column, dtype=float) for column in zip(*said, strict=True))
    spoken = ~np.isnan(hits)
    rate = float(hits[spoken].mean()) if spoken.any() else nan
    return Outcome(
        method=cell.method,
        design=cell.design,
        kind=cell.kind,
        rate=rate,
        error=sqrt(rate * (1 - rate) / max(1, int(spoken.sum()))) if not isnan(rate) else nan,
        replicates=count,
        silent=float(1 - spoken.mean()),
        width=float(np.nanmedian(widths)) if np.isfinite(widths).any() else nan,
    )


def holds(found: Interval, truth: float) -> Said:
    """Whether an interval holds the truth; limits are rounded to 1e-9, so that a limit of 1 holds 1."""
    if isnan(found.low) or isnan(found.high):
        return Said(nan)
    return Said(float(found.low - 1e-9 <= truth <= found.high + 1e-9), found.high - found.low)


def rejects(p: float) -> Said:
    """Whether a test rejects at 5 %."""
    return Said(nan if isnan(p) else float(p <= 0.05))
