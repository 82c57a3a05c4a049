"""Predictions of published findings and what became of them: reproduced, not reproduced, or inconclusive.

A prediction is a direction: some number, one per training seed, lies above a bound. It is judged by the
Student-t interval over seeds: the whole interval above the bound is a reproduction, the whole interval at or
below it is none, and an interval that holds the bound is too wide to decide.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import isfinite, nan

import numpy as np

from sft_probe.stats.intervals import Interval
from sft_probe.stats.seeds import over_seeds

ALIKE = "all seeds alike"  # what `over_seeds` says of an interval without width


class Outcome(StrEnum):
    """What became of a prediction."""

    REPRODUCED = "reproduced"
    NOT_REPRODUCED = "not reproduced"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """key: its number in the README.  sentence: what is expected.  rule: when it counts as reproduced.

    number: what is computed from each seed, in words.  bound: above which it must lie.  margin: if given, it
    must lie between -margin and margin instead.
    """

    key: str
    sentence: str
    rule: str = ""
    number: str = ""
    bound: float = 0.0
    margin: float | None = None

    @property
    def said(self) -> str:
        """The rule, or what follows from number and bound."""
        limit = f"above {self.bound:g}" if self.margin is None else f"within ±{self.margin:g}"
        return self.rule or f"{self.number} {limit}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What became of a prediction. measured: numbers in words.  interval: what the rule was held against."""

    prediction: Prediction
    outcome: Outcome
    measured: str
    interval: Interval


def above(found: Interval, bound: float = 0.0) -> Outcome:
    """Whether a number lies above a bound.

    Seeds that are all alike give no limits; then the value decides, unless it is the bound itself, where
    nothing moved. One seed decides nothing.
    """
    if found.why == ALIKE and found.value != bound:
        return Outcome.REPRODUCED if found.value > bound else Outcome.NOT_REPRODUCED
    if not (isfinite(found.low) and isfinite(found.high)):
        return Outcome.INCONCLUSIVE
    if found.low > bound:
        return Outcome.REPRODUCED
    return Outcome.NOT_REPRODUCED if found.high <= bound else Outcome.INCONCLUSIVE


def within(found: Interval, margin: float) -> Outcome:
    """Whether a number is as good as zero: its whole interval between -margin and margin, or all outside."""
    if found.why == ALIKE:
        return Outcome.REPRODUCED if abs(found.value) < margin else Outcome.NOT_REPRODUCED
    if not (isfinite(found.low) and isfinite(found.high)):
        return Outcome.INCONCLUSIVE
    if -margin < found.low and found.high < margin:
        return Outcome.REPRODUCED
    outside = found.low >= margin or found.high <= -margin
    return Outcome.NOT_REPRODUCED if outside else Outcome.INCONCLUSIVE


def all_of(outcomes: Iterable[Outcome]) -> Outcome:
    """Of parts that must all hold: one that does not hold settles it, one that is open leaves it open."""
    found = set(outcomes)
    if not found or Outcome.NOT_REPRODUCED in found:
        return Outcome.NOT_REPRODUCED if found else Outcome.INCONCLUSIVE
    return Outcome.INCONCLUSIVE if Outcome.INCONCLUSIVE in found else Outcome.REPRODUCED


def by_seed(values: Iterable[float]) -> Interval:
    """The interval over one value per seed; a seed without a value leaves nothing to judge."""
    numbers = np.fromiter(values, float)
    if numbers.size and not np.isfinite(numbers).all():
        return Interval(value=nan, n=numbers.size, why="undefined in a seed")
    return over_seeds(numbers)


def judge(prediction: Prediction, values: Iterable[float], *, what: str = "", digits: int = 3) -> Finding:
    """Hold one value per seed against the bound or the margin of a prediction.

    what: said before the number on the page, for instance the means it is the difference of.
    """
    found = by_seed(values)
    margin = prediction.margin
    outcome = above(found, prediction.bound) if margin is None else within(found, margin)
    measured = f"{what}: {shown(found, digits)}" if what else shown(found, digits)
    return Finding(prediction=prediction, outcome=outcome, measured=measured, interval=found)


def shown(found: Interval, digits: int = 3, unit: str = "seed") -> str:
    """An interval in words, with the number of seeds, or of what else was drawn anew."""
    seeds = f"{found.n} {unit}{'s' if found.n != 1 else ''}"
    if not isfinite(found.value):
        return f"not defined ({found.why or 'no value'})"
    if not isfinite(found.low):
        return f"{found.value:.{digits}f} ({found.why}; {seeds})"
    return f"{found.value:.{digits}f} ({found.low:.{digits}f} to {found.high:.{digits}f}, {seeds})"


def outcome_table(findings: Sequence[Finding]) -> str:
    """Every prediction with its rule, its outcome and the numbers, as Markdown."""
    lines = ["| # | prediction | pass rule | outcome | measured |", "|---|---|---|---|---|"]
    lines += [
        f"| {f.prediction.key} | {f.prediction.sentence} | {f.prediction.said} | **{f.outcome}** "
        f"| {f.measured} |"
        for f in findings
    ]
    return "\n".join(lines) + "\n"
