"""When something was learned: time to half of the final value, and a single step in a timeline."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import nan

import numpy as np

from sft_probe.stats.families import adjust_together
from sft_probe.stats.intervals import Floats, Interval, Ints, mean_interval
from sft_probe.stats.seeds import over_seeds, over_seeds_and_items

PARTS = 8  # points tried between two looks before a limit is halved in


def half_way(steps: Sequence[float] | Floats, values: Sequence[float] | Floats) -> float:
    """The step at which half of the whole change from first to last value was first reached.

    Linear between two looks. NaN for fewer than two looks or no change.
    """
    at, y = np.asarray(steps, float), np.asarray(values, float)
    if at.size < 2 or not np.isfinite(y).all() or y[0] == y[-1]:
        return nan
    done = (y - y[0]) / (y[-1] - y[0])
    first = int(np.argmax(done >= 0.5))
    before = done[first - 1]
    share = (0.5 - before) / (done[first] - before)
    return float(at[first - 1] + share * (at[first] - at[first - 1]))


def half_time(steps: Sequence[float] | Floats, scores: Floats, clusters: Ints | None = None) -> Interval:
    """`half_way` of the mean curve, with an interval over seeds, items or both.

    steps: (k,) rising.  scores: (seeds, items, k); one seed gives an interval over items, one item (a value
    per seed) one over seeds.  clusters: (items,).  The limits hold all times at which the distance of
    the curve from the middle of its ends could be zero, by the t interval of that distance (Fieller's
    argument). They are undefined if a change from first to last look is not shown.
    """
    at, scores = np.asarray(steps, float), np.asarray(scores, float)
    seeds, items, _ = scores.shape
    value = half_way(at, scores.mean(axis=(0, 1)))
    counts = Interval(value=value, n=items, n_clusters=items if seeds == 1 else seeds)
    whole = _interval(scores[..., -1] - scores[..., 0], clusters)
    if whole.why or not (whole.low > 0 or whole.high < 0):
        return replace(counts, why=whole.why or "no change is shown")
    middle = (scores[..., 0] + scores[..., -1]) / 2

    def possible(step: float) -> bool:
        found = _interval(_at(at, scores, step) - middle, clusters)
        return found.low <= 0 <= found.high

    between = np.linspace(0, at.size - 1, PARTS * (at.size - 1) + 1)
    grid = np.unique([*np.interp(between, np.arange(at.size), at), value])
    inside = [step for step in grid if possible(step)]
    low, high = (_edge(grid, limit, possible, side) for limit, side in ((inside[0], -1), (inside[-1], 1)))
    return replace(counts, low=low, high=high, n_clusters=whole.n_clusters, how=whole.how)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangePoint:
    """One step in a timeline.

    step: of the first look after it; low, high: the first and last such look that the data allow, at 95 %.
    p: of no change at all.  why: the reason if there are no limits.
    """

    step: float
    low: float = nan
    high: float = nan
    p: float = nan
    why: str = ""


def change_point(
    steps: Sequence[float] | Floats,
    values: Floats,
    rng: np.random.Generator,
    clusters: Ints | None = None,
    *,
    alpha: float = 0.05,
) -> ChangePoint:
    """Where a timeline jumps from one level to another, if it does.

    steps: (k,).  values: (n, k), one row per item (or seed) over the looks.  clusters: (n,).
    The step is the split with the smallest squared distance of the mean curve from its two levels. p and the
    looks that the data allow come from tests of flatness, of all looks and of either side of a split, by
    `adjust_together`. A change that is spread over several looks leaves no split, and `why` says so.
    """
    values = np.asarray(values, float)
    at, k = np.asarray(steps, float), values.shape[1]
    if k < 2 or values.shape[0] < 2:
        return ChangePoint(step=nan, why="fewer than two looks or items")
    mean = values.mean(axis=0)
    gains = [split * (k - split) * (mean[split:].mean() - mean[:split].mean()) ** 2 for split in range(1, k)]
    step = float(at[1 + int(np.argmax(gains))])
    p = _flat(values, rng, clusters)
    if not p <= alpha:
        return ChangePoint(step=step, p=p, why="no change is shown")
    sides = ((split, (values[:, :split], values[:, split:])) for split in range(1, k))
    allowed = [
        at[split] for split, parts in sides if min(_flat(part, rng, clusters) * 2 for part in parts) > alpha
    ]
    if not allowed:
        return ChangePoint(step=step, p=p, why="the change is spread over several looks")
    return ChangePoint(step=step, low=float(allowed[0]), high=float(allowed[-1]), p=p)


def _flat(values: Floats, rng: np.random.Generator, clusters: Ints | None) -> float:
    """p-value that the mean does not change along the looks; 1 for a single look."""
    k = values.shape[1]
    if k < 2:
        return 1.0
    splits = [values[:, s:].mean(axis=1) - values[:, :s].mean(axis=1) for s in range(1, k)]
    return float(adjust_together(np.stack(splits, axis=1), rng, clusters).min())


def _interval(scores: Floats, clusters: Ints | None) -> Interval:
    """(seeds, items) -> over whatever there are several of."""
    seeds, items = scores.shape
    if seeds == 1:
        return mean_interval(scores[0], clusters)
    return over_seeds(scores[:, 0]) if items == 1 else over_seeds_and_items(scores, clusters)


def _at(steps: Floats, scores: Floats, step: float) -> Floats:
    """Scores at a time between two looks. (seeds, items, k) -> (seeds, items)."""
    last = int(np.clip(np.searchsorted(steps, step), 1, steps.size - 1))
    share = (step - steps[last - 1]) / (steps[last] - steps[last - 1])
    between: Floats = scores[..., last - 1] * (1 - share) + scores[..., last] * share
    return between


def _edge(grid: Floats, limit: float, possible: Callable[[float], bool], side: int) -> float:
    """Where possible times end beyond `limit`, halved in towards the next grid point."""
    place = int(np.searchsorted(grid, limit)) + side
    if not 0 <= place < grid.size:
        return float(limit)
    inner, outer = float(limit), float(grid[place])
    for _ in range(6):
        centre = (inner + outer) / 2
        inner, outer = (centre, outer) if possible(centre) else (inner, centre)
    return inner
