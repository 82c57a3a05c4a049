"""Learning against keeping along a path of models: where a level is reached, and how much lies below."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class Place(NamedTuple):
    """Between two models of a path: `share` of the way from number `first` to the next."""

    first: int
    share: float

    def of(self, values: Floats) -> Floats:
        """Linear between both. (..., k) -> (...)."""
        after = min(self.first + 1, values.shape[-1] - 1)
        found: Floats = (1 - self.share) * values[..., self.first] + self.share * values[..., after]
        return found


def first_at(learned: Floats, level: float) -> Place | None:
    """Where a path first has learned as much; None if it never does. learned: (k,), in its order."""
    reached = np.flatnonzero(learned >= level)
    if reached.size == 0:
        return None
    after = int(reached[0])
    if after == 0 or learned[after] == level:
        return Place(after, 0.0)
    return Place(after - 1, float((level - learned[after - 1]) / (learned[after] - learned[after - 1])))


def hypervolume(gained: Floats, kept: Floats) -> float:
    """Area that at least one model of a path dominates, from nothing gained and nothing kept.

    gained, kept: (k,), negative ones count as 0.  With shares of both, 1 is all learned and all kept.
    Source: Zitzler & Thiele 1998, Multiobjective Optimization Using Evolutionary Algorithms.
    """
    x, y = np.maximum(gained, 0.0), np.maximum(kept, 0.0)
    order = np.argsort(-x, kind="stable")
    across = np.append(x[order], 0.0)
    above = np.maximum.accumulate(y[order])
    return float((-np.diff(across) * above).sum())


def common_level(highest: Floats) -> float:
    """The level reached by all paths that reach half of the best. highest: (paths,) most learned."""
    best = float(np.nanmax(highest)) if np.isfinite(highest).any() else np.nan
    if not best > 0:
        return float("nan")
    return float(highest[highest >= best / 2].min())
