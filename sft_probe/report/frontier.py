"""Learning against keeping along the paths of every arm, and arms compared where they learned equally much.

A path leads from the base to the tuned model: over the steps of training, or over mixtures of their weights.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite, nan
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sft_probe.measures.frontier import Place, common_level, first_at, hypervolume
from sft_probe.report.findings import STRICT
from sft_probe.report.numbers import Value
from sft_probe.stats.intervals import cluster_codes

if TYPE_CHECKING:
    from sft_probe.report.findings import Findings

Floats = NDArray[np.float64]
STEPS, MIXTURES = "steps", "mixtures"
RESAMPLES, SEED = 500, 0
LEAST = 0.05  # of test rows that some arm must have learned for arms to be compared


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """The share of right items at each model of a path, from the base on, in every bootstrap draw.

    values: (k,).  drawn: (draws, k).  items, clusters: behind each.
    """

    values: Floats
    drawn: Floats
    items: int
    clusters: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Path:
    """One arm's path. kind: over what it leads. places: steps or mixtures, the base first."""

    arm: str
    kind: str
    places: tuple[float, ...]
    learned: Curve
    kept: Curve

    @property
    def highest(self) -> float:
        """Most learned at any model of the path, above the base."""
        return float((self.learned.values - self.learned.values[0]).max())


@dataclass(frozen=True, slots=True, kw_only=True)
class Matched:
    """An arm where it has learned as much as the others. learned: above the base. kept: change against it.

    against: `kept` minus that of the reference arm on the same kind of path. where: step or mixture.
    volume: area that the path dominates, of what was to be learned and kept.
    """

    path: Path
    learned: Value
    kept: Value
    against: Value
    where: float
    volume: Value


@dataclass(frozen=True, slots=True, kw_only=True)
class Frontier:
    """All paths, and arms at the common level (above the base), which is NaN if no arm learned enough.

    reference: the arm that the others are compared with there.
    """

    paths: tuple[Path, ...]
    level: float
    matched: tuple[Matched, ...]
    reference: str


def frontier(found: Findings) -> Frontier | None:
    """Paths of the study, None if it has none: they need probes `forgetting_curve` or `interpolation`."""
    paths = [
        path
        for kind, make in ((STEPS, _over_steps), (MIXTURES, _over_mixtures))
        for arm in found.arms
        if (path := make(found, arm.name, kind)) is not None
    ]
    if not paths:
        return None
    most = [
        max(path.highest for path in paths if path.arm == arm.name)
        for arm in found.arms
        if _has(paths, arm.name)
    ]
    level = common_level(np.array(most)) if max(most) >= LEAST else nan
    places = {
        (path.kind, path.arm): first_at(path.learned.values - path.learned.values[0], level) for path in paths
    }
    stand = _reference(found, places)
    reference = {
        path.kind: (path, place)
        for path in paths
        if path.arm == stand and (place := places[path.kind, path.arm]) is not None
    }
    matched = tuple(
        _matched(path, place, reference.get(path.kind))
        for path in paths
        if isfinite(level) and (place := places[path.kind, path.arm]) is not None
    )
    return Frontier(paths=tuple(paths), level=level, matched=matched, reference=stand)


def _reference(found: Findings, places: Mapping[tuple[str, str], Place | None]) -> str:
    """The arm that others are compared with: that of the study, else the first that reaches the level."""
    reached = {arm for (_, arm), place in places.items() if place is not None}
    order = (found.material.reference, *(arm.name for arm in found.arms))
    return next((name for name in order if name in reached), found.material.reference)


def _has(paths: Sequence[Path], arm: str) -> bool:
    return any(path.arm == arm for path in paths)


def _matched(path: Path, place: Place, reference: tuple[Path, Place] | None) -> Matched:
    """At a fixed place of the path, so that the interval of what was learned shows how sure the match is."""
    learned, kept = (
        _limits(float(place.of(c.values - c.values[0])), place.of(c.drawn - c.drawn[:, :1]))
        for c in (path.learned, path.kept)
    )
    against = Value(nan)
    if reference is not None and reference[0].arm != path.arm:
        other, there = reference
        if other.kept.items == path.kept.items:  # the same draws of the same documents
            ours, theirs = (
                p.of(c.drawn - c.drawn[:, :1]) for p, c in ((place, path.kept), (there, other.kept))
            )
            value = place.of(path.kept.values) - there.of(other.kept.values)
            against = _limits(float(value), ours - theirs)
    after = min(place.first + 1, len(path.places) - 1)
    where = path.places[place.first] + place.share * (path.places[after] - path.places[place.first])
    volumes = np.array([_volume(*pair) for pair in zip(path.learned.drawn, path.kept.drawn, strict=True)])
    return Matched(
        path=path,
        learned=learned,
        kept=kept,
        against=against,
        where=where,
        volume=_limits(_volume(path.learned.values, path.kept.values), volumes),
    )


def _volume(learned: Floats, kept: Floats) -> float:
    """Share learned above the base times share kept of what the base had, as an area."""
    return hypervolume(learned - learned[0], kept / kept[0]) if kept[0] > 0 else nan


def _limits(value: float, drawn: Floats) -> Value:
    known = drawn[np.isfinite(drawn)]
    if known.size < 2 or not isfinite(value):
        return Value(float(value))
    low, high = np.quantile(known, (0.025, 0.975))
    return Value(float(value), float(low), float(high))


def _over_steps(found: Findings, arm: str, kind: str) -> Path | None:
    task = found.material.items_of("task_alignment", STRICT)
    task = task[(task["arm"] == arm) & (task["dataset"] == found.dataset)]
    kept = found.material.items_of("forgetting_curve", "retained")
    kept = kept[kept["arm"] == arm]
    shared = sorted(set(task["step"]) & set(kept["step"]))
    looks = {float(step): (task[task["step"] == step], kept[kept["step"] == step]) for step in shared}
    return _path(looks, arm, kind)


def _over_mixtures(found: Findings, arm: str, kind: str) -> Path | None:
    items = found.material.items
    own = items[(items["probe"] == "interpolation") & (items["arm"] == arm) & (items["step"] > 0)]
    own = own[own["step"] == own["step"].max()]
    parts = own["metric"].str.partition(" at ")
    shares = sorted(parts[2].astype(float).unique()) if len(own) else []
    looks = {
        float(share): (
            own[own["metric"] == f"learned at {share:g}"],
            own[own["metric"] == f"kept at {share:g}"],
        )
        for share in shares
    }
    return _path(looks, arm, kind)


def _path(looks: Mapping[float, tuple[pd.DataFrame, pd.DataFrame]], arm: str, kind: str) -> Path | None:
    if len(looks) < 2:
        return None
    learned, kept = (_curve([look[side] for look in looks.values()], SEED + side) for side in (0, 1))
    if learned is None or kept is None:
        return None
    return Path(arm=arm, kind=kind, places=tuple(looks), learned=learned, kept=kept)


def _curve(looks: Sequence[pd.DataFrame], seed: int) -> Curve | None:
    """Means over seeds, then over items. Whole clusters are drawn anew, for every arm with the same seed."""
    tables = [
        look.groupby(["dataset", "item"]).agg(value=("value", "mean"), cluster=("cluster", "first"))
        for look in looks
    ]
    common = tables[0].index
    for table in tables[1:]:
        common = common.intersection(table.index)
    if common.empty:
        return None
    values = np.stack([table.loc[common, "value"].to_numpy(float) for table in tables], axis=1)
    names = common.get_level_values("dataset")
    clusters = cluster_codes(
        [f"{name}\n{c}" if c else "" for name, c in zip(names, tables[0].loc[common, "cluster"], strict=True)]
    )
    groups = int(clusters.max()) + 1
    sums, counts = np.zeros((groups, values.shape[1])), np.bincount(clusters, minlength=groups)
    np.add.at(sums, clusters, values)
    rng = np.random.default_rng(seed)
    weights = rng.multinomial(groups, np.full(groups, 1 / groups), size=RESAMPLES).astype(float)
    drawn = (weights @ sums) / (weights @ counts)[:, None]
    return Curve(values=values.mean(axis=0), drawn=drawn, items=len(common), clusters=groups)
