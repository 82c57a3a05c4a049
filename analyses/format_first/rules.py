"""When form, style and facts were learned, and the pass rules of README.md."""

from __future__ import annotations

from collections.abc import Iterator
from math import nan

import numpy as np
import pandas as pd

from analyses.outcomes import Finding, Outcome, Prediction, judge
from analyses.readings import course
from sft_probe.measures.knowledge import first_reached
from sft_probe.stats.intervals import Interval

ARM, LEVEL = "full", 0.9
LEARNED: dict[str, dict[str, str]] = {
    "form": {"probe": "format_adherence", "metric": "stop_rate"},
    "style": {"probe": "data_distribution", "metric": "style_ratio"},
    "known facts": {"probe": "task_alignment", "metric": "contains_match", "stratum": "K1"},
    "unknown facts": {"probe": "task_alignment", "metric": "contains_match", "stratum": "U"},
    "known facts by likelihood": {"probe": "task_alignment", "metric": "choice_accuracy", "stratum": "K1"},
}
ORDER = ("form", "style", "known facts", "unknown facts")
PAIRS = {
    "1": ("form", "style"),
    "2": ("style", "known facts"),
    "3": ("known facts", "unknown facts"),
    "4": ("form", "known facts by likelihood"),
}
SEEDS_NEEDED, SEEDS_LOST, FEWEST = 0.9, 0.5, 3


def curves(rows: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """What is followed, over the steps: steps down, seeds across."""
    return {name: course(rows, ARM, **place) for name, place in LEARNED.items()}


def time_to(curve: pd.Series, level: float = LEVEL) -> float:
    """First step at which a share of the change from first to last look is made; NaN without a rise."""
    values = curve.to_numpy(float)
    rise = values[-1] - values[0]
    if not rise > 0:
        return nan
    return first_reached(curve.index.to_numpy(float), (values - values[0]) / rise, level)


def times(rows: pd.DataFrame) -> pd.DataFrame:
    """The time of each thing learned: seeds down, things across."""
    return pd.DataFrame({name: curve.apply(time_to) for name, curve in curves(rows).items()})


def judged(rows: pd.DataFrame) -> list[Finding]:
    """The five rules."""
    found = times(rows)
    return [*_pairs(found), _order(found)]


def _pairs(found: pd.DataFrame) -> Iterator[Finding]:
    for key, (first, later) in PAIRS.items():
        said = Prediction(
            key=key, sentence=f"{first} before {later}", number="doublings between the two times"
        )
        doublings = np.log2(found[later] / found[first])
        steps = f"steps {_list(found[first])} and {_list(found[later])}; doublings"
        yield judge(said, doublings, what=steps, digits=2)


def _order(found: pd.DataFrame) -> Finding:
    said = Prediction(key="5", sentence=f"the order {', '.join(ORDER)}", rule="in at least 90 % of the seeds")
    own = found[list(ORDER)]
    undefined = bool(own.isna().to_numpy().any())
    share = float((own.diff(axis=1).iloc[:, 1:] > 0).all(axis=1).mean()) if len(own) else nan
    outcome = Outcome.INCONCLUSIVE
    if len(own) >= FEWEST and not undefined:
        if share >= SEEDS_NEEDED:
            outcome = Outcome.REPRODUCED
        elif share <= SEEDS_LOST:
            outcome = Outcome.NOT_REPRODUCED
    measured = f"in {share:.0%} of {len(own)} seeds" + (", a time is not defined" if undefined else "")
    return Finding(
        prediction=said, outcome=outcome, measured=measured, interval=Interval(value=share, n=len(own))
    )


def _list(values: pd.Series) -> str:
    return ", ".join(f"{value:.0f}" for value in values)
