"""The five tiles of the first screen: a headline number, its interval, and a small curve."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING

from sft_probe.report.figures_when import halves, series
from sft_probe.report.figures_where import peak
from sft_probe.report.findings import LENIENT, STRICT
from sft_probe.report.numbers import DASH, Kind, Value, interval, number, spread_text
from sft_probe.report.reasons import absent, seeds_phrase
from sft_probe.report.sentences import detectable

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from sft_probe.report.findings import Findings
    from sft_probe.report.summaries import Change
    from sft_probe.report.words import Words

WIDTH, HEIGHT = 120, 34  # of the small curve, in its own units


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """One line of a small curve. position: of the arm, for its colour.  points: as SVG writes them."""

    position: int
    points: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """axis: also the section it leads to.  limits: the interval or what stands for it."""

    axis: str
    headline: str
    limits: str
    caption: str
    curves: tuple[Curve, ...] = ()


def tiles(found: Findings, words: Words) -> list[Tile]:
    """What, When, Where, Cost, How sure; a dash and the reason where a question was not measured."""
    return [
        _what(found, words),
        _when(found, words),
        _where(found, words),
        _cost(found, words),
        _sure(found, words),
    ]


def _what(found: Findings, words: Words) -> Tile:
    best = found.best()
    if best is None:
        return _unknown("what", "task_alignment", found, words)
    change = found.learned[best.name]
    curves = _curves(found, series(found, STRICT), "step")
    return _of_change("what", change, words("tile.what", arm=best.label), curves, words)


def _when(found: Findings, words: Words) -> Tile:
    for metric in (STRICT, LENIENT):
        known = halves(found, metric)
        if known:
            break
    else:
        reason = words("tile.when_none" if found.material.watched else "absent.timeline")
        return Tile(axis="when", headline=DASH, limits="", caption=reason)
    best = found.best()
    name = best.name if best and best.name in known else next(iter(known))
    half = known[name]
    limits = interval(half.whole, to=words.interval_word(), digits=1)
    if not limits and len(half.seeds) > 1:
        limits = words("tile.seeds", values=spread_text(half.seeds, digits=1))
    return Tile(
        axis="when",
        headline=words("tile.step", step=number(half.whole.value, digits=1)),
        limits=limits,
        caption=words("tile.when", arm=found.label(name), metric=words.metric(metric)),
        curves=_curves(found, series(found, metric), "step", relative=True),
    )


def _where(found: Findings, words: Words) -> Tile:
    peaks = peak(found)
    if not peaks:
        return _unknown("where", "representation_drift", found, words)
    arm, row = max(peaks.items(), key=lambda entry: float(entry[1]["value"]))
    value = Value(row["value"], row["ci_low"], row["ci_high"])
    limits = interval(value, to=words.interval_word())
    return Tile(
        axis="where",
        headline=words("tile.layer", layer=int(row["layer"])),
        limits=words("tile.drift", value=number(value.value)) + (f" ({limits})" if limits else ""),
        caption=words("tile.where", arm=found.label(arm)),
        curves=_curves(found, found.rows("relative_drift"), "layer"),
    )


def _cost(found: Findings, words: Words) -> Tile:
    worst = found.worst()
    if worst is None:
        return _unknown("cost", "forgetting", found, words)
    change = found.kept[worst.name]
    rows = found.rows("accuracy", end=False)
    rows = rows[rows["dataset"].isin(found.benchmarks["dataset"])]
    means = rows.groupby(["arm", "step"], sort=False)["value"].mean().reset_index() if len(rows) else rows
    tasks = found.lost_on[worst.name]
    shaken = "tile.cost_less_sure" if found.less_sure_on.get(worst.name) else "tile.cost_unclear"
    single = "tile.cost_single" if tasks else shaken
    key = "tile.cost" if found.shown_kept[worst.name] < 0 else single
    names = words.listed(tasks) if tasks else ""
    caption = words(key, arm=worst.label, mde=detectable([change]), tasks=names)
    return _of_change("cost", change, caption, _curves(found, means, "step"), words)


def _sure(found: Findings, words: Words) -> Tile:
    changes = [c for c in (*found.kept.values(), *found.learned.values()) if isfinite(c.estimate.value)]
    if not changes:
        return _unknown("sure", "task_alignment", found, words)
    kept = [c for c in found.kept.values() if isfinite(c.estimate.value)] or changes
    return Tile(
        axis="sure",
        headline=words("points", value=detectable(kept)),
        limits=words(
            "tile.sure_n", seeds=seeds_phrase(found.material, words), items=f"{max(c.n for c in changes):,}"
        ),
        caption=words("tile.sure"),
    )


def _of_change(axis: str, change: Change, caption: str, curves: tuple[Curve, ...], words: Words) -> Tile:
    kind: Kind = "points"
    return Tile(
        axis=axis,
        headline=words("points", value=number(change.estimate.value, kind)),
        limits=interval(change.estimate, kind, words.interval_word()),
        caption=caption,
        curves=curves,
    )


def _unknown(axis: str, probe: str, found: Findings, words: Words) -> Tile:
    return Tile(axis=axis, headline=DASH, limits="", caption=absent(found.material, probe, words))


def _curves(found: Findings, rows: pd.DataFrame, x: str, *, relative: bool = False) -> tuple[Curve, ...]:
    """A line per arm in the tile's small box. Points are evenly spaced; relative: each from 0 to its end."""
    if rows.empty or rows[x].nunique() < 2:
        return ()
    places = {value: index for index, value in enumerate(sorted(rows[x].unique()))}
    curves = []
    low, high = float(rows["value"].min()), float(rows["value"].max())
    for arm in found.arms:
        own = rows[rows["arm"] == arm.name].sort_values(x)
        values = own["value"].to_numpy(float)
        if relative and len(values) > 1 and values[-1] != values[0]:
            values, low, high = (values - values[0]) / (values[-1] - values[0]), 0.0, 1.0
        across = [places[value] / (len(places) - 1) for value in own[x]]
        curves.append(Curve(position=arm.position, points=_points(across, list(values), low, high)))
    return tuple(curve for curve in curves if curve.points)


def _points(across: Sequence[float], values: Sequence[float], low: float, high: float) -> str:
    scale = (HEIGHT - 6) / (high - low or 1.0)
    return " ".join(
        f"{2 + x * (WIDTH - 4):.1f},{HEIGHT - 3 - (min(max(value, low), high) - low) * scale:.1f}"
        for x, value in zip(across, values, strict=True)
        if isfinite(value)
    )
