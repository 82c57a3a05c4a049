"""The five kinds of panel: rows of arms, lines over steps, lines over places, maps, and a scatter."""

from __future__ import annotations

from math import isfinite, nan
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from sft_probe.report.charts import (
    BAND,
    FAINT,
    INK,
    QUIET,
    Panel,
    colour,
    in_percent,
    marker,
    null_line,
    rows_of_arms,
    step_axis,
)
from sft_probe.report.numbers import Kind, Value, kind_of, rate, with_interval

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.image import AxesImage

    from sft_probe.report.material import Arm
    from sft_probe.report.summaries import Change
    from sft_probe.report.words import Words
    from sft_probe.stats.intervals import Floats


class Dot(NamedTuple):
    """What one row of `dots` shows of an arm."""

    value: Value
    before: float = nan
    seeds: tuple[float, ...] = ()
    wide: Value = Value(nan)  # the interval that also covers new seeds
    null: Value = Value(nan)  # limits within which nothing is shown to have happened


def change_dot(change: Change) -> Dot:
    """A change with both intervals, its seeds, and around zero what would not have been detected."""
    band = Value(0.0, -change.detectable, change.detectable)
    seeds = change.per_seed if len(change.per_seed) > 1 else ()
    return Dot(value=change.estimate, seeds=seeds, wide=change.anew, null=band)


def dots(
    title: str, arms: Sequence[Arm], rows: Mapping[str, Dot], kind: Kind, words: Words, null: float
) -> Panel:
    """One row per arm: value with interval, single seeds as small dots, the base as a hollow grey ring.

    A grey bar behind a row is its null: values that do not differ from the base.
    """

    def draw(axes: Axes) -> None:
        rows_of_arms(axes, arms)
        axes.use_sticky_edges = False
        null_line(axes, null, vertical=True)
        for y, arm in enumerate(arms):
            if arm.name in rows:
                _dot(axes, y, arm, rows[arm.name])
        _tidy_axis(axes, kind, vertical=False)

    said = "; ".join(
        f"{arm.label} {with_interval(rows[arm.name].value, kind, words.interval_word())}"
        for arm in arms
        if arm.name in rows
    )
    title = with_unit(title, kind, words)
    return Panel(title=title, draw=draw, alt=f"{title}: {said}.")


def with_unit(title: str, kind: Kind, words: Words) -> str:
    """The title with the unit that its axis does not show."""
    unit = {"share": "%", "points": words("unit.points")}.get(kind)
    return f"{title}, {unit}" if unit else title


def _dot(axes: Axes, y: int, arm: Arm, dot: Dot) -> None:
    if isfinite(dot.null.low):
        width = dot.null.high - dot.null.low
        axes.barh(y, width, left=dot.null.low, height=0.72, color=BAND, linewidth=0, zorder=0)
    if isfinite(dot.before):
        axes.plot([dot.before, dot.value.value], [y, y], color=FAINT, linewidth=1, zorder=1)
        axes.plot(dot.before, y, "o", color=QUIET, markerfacecolor="none", markersize=5, zorder=2)
    for limits, width in ((dot.wide, 0.9), (dot.value, 2.6)):
        if isfinite(limits.low):
            axes.plot([limits.low, limits.high], [y, y], color=colour(arm), linewidth=width, zorder=2)
    axes.plot(dot.value.value, y, marker(arm), color=colour(arm), markersize=6, zorder=3)
    axes.plot(
        dot.seeds, [y + 0.28] * len(dot.seeds), ".", color=colour(arm), markersize=4, alpha=0.75, zorder=3
    )


def over_steps(
    title: str,
    arms: Sequence[Arm],
    means: pd.DataFrame,
    seeds: pd.DataFrame,
    words: Words,
    *,
    null: float = nan,
) -> Panel:
    """Lines over training steps: means with intervals, single seeds as thin lines, the base in grey.

    means: rows of one metric of `summaries.over_seeds`.  seeds: the same metric's single rows.  null: of a
    measure that the base does not have.
    """
    metric = str(means["metric"].iloc[0])

    def draw(axes: Axes) -> None:
        null_line(axes, null)
        for _, start in means[means["step"] == 0].head(1).iterrows():
            null_line(axes, start["value"])
            if isfinite(start["ci_low"]):
                axes.axhspan(start["ci_low"], start["ci_high"], color=BAND, linewidth=0, zorder=0)
        for arm in arms:
            for _, own in seeds[seeds["arm"] == arm.name].groupby("seed"):
                ordered = own.sort_values("step")
                axes.plot(ordered["step"], ordered["value"], color=colour(arm), linewidth=0.5, alpha=0.6)
            _line(axes, arm, means[means["arm"] == arm.name].sort_values("step"), "step")
        step_axis(axes, means["step"].astype(int).tolist(), words("axis.step"))
        _boundaries(axes, arms, means)
        _tidy_axis(axes, kind_of(metric), vertical=True)

    title = with_unit(title, kind_of(metric), words)
    return Panel(title=title, draw=draw, alt=_ends(title, arms, means, metric, words))


def _boundaries(axes: Axes, arms: Sequence[Arm], means: pd.DataFrame) -> None:
    """A dotted line where a stage of an arm ends, with the names of those that begin there."""
    begun: dict[int, list[str]] = {}
    for arm in arms:
        for stage in arm.stages[1:] if (means["arm"] == arm.name).any() else ():
            begun.setdefault(stage.first, []).append(stage.name)
    for step, names in begun.items():
        axes.axvline(step, color=QUIET, linewidth=0.9, linestyle=(0, (1, 2)), zorder=0.6)
        axes.annotate(
            " / ".join(dict.fromkeys(names)),
            (step, 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(-2, -1),
            textcoords="offset points",
            rotation=90,
            ha="right",
            va="top",
            fontsize=7,
            color=QUIET,
        )


def over_places(
    title: str,
    arms: Sequence[Arm],
    means: pd.DataFrame,
    place: str,
    label: str,
    words: Words,
    *,
    floor: pd.DataFrame | None = None,
) -> Panel:
    """Lines over layers or positions at the end of training, with intervals; the null in grey.

    floor: rows of what unrelated data would give, as a dotted grey line.
    """
    metric = str(means["metric"].iloc[0])

    def draw(axes: Axes) -> None:
        from matplotlib.ticker import MaxNLocator

        shown = means[["value", "null_value"]].to_numpy(float).ravel()
        _null_over(axes, means, place)
        if floor is not None:
            by_place = floor.groupby(place)["value"].mean()
            shown = np.append(shown, by_place)
            axes.plot(by_place.index, by_place, color=QUIET, linewidth=1.2, linestyle=":", zorder=0.5)
        for arm in arms:
            _line(axes, arm, means[means["arm"] == arm.name].sort_values(place), place)
        _keep_in_sight(axes, shown)
        axes.set_xlabel(label)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        _tidy_axis(axes, kind_of(metric), vertical=True)

    return Panel(title=title, draw=draw, alt=_peaks(title, arms, means, place, label))


def _keep_in_sight(axes: Axes, values: Floats) -> None:
    """Cut intervals that reach beyond these values by more than they span; the table has them whole."""
    least, most = np.nanmin(values), np.nanmax(values)
    if most > least:
        low, high = axes.get_ylim()
        axes.set_ylim(max(low, 2 * least - most), min(high, 2 * most - least))


def _null_over(axes: Axes, means: pd.DataFrame, place: str) -> None:
    """One grey line, or a curve where the null differs from place to place."""
    nulls = means.groupby(place)["null_value"].mean().dropna()
    if nulls.nunique() > 1:
        axes.plot(nulls.index, nulls, color=QUIET, linewidth=1.0, linestyle=(0, (4, 3)), zorder=0.5)
    elif len(nulls):
        null_line(axes, float(nulls.iloc[0]))


def _line(axes: Axes, arm: Arm, rows: pd.DataFrame, x: str) -> None:
    if rows.empty:
        return
    shape = marker(arm) if len(rows) <= 40 else ""
    axes.plot(rows[x], rows["value"], color=colour(arm), marker=shape, markersize=3.5, zorder=3)
    bounded = rows[rows["ci_low"].notna()]
    axes.vlines(
        bounded[x], bounded["ci_low"], bounded["ci_high"], color=colour(arm), linewidth=1.1, alpha=0.6
    )


def curves(
    title: str,
    arms: Sequence[Arm],
    means: pd.DataFrame,
    x: str,
    label: str,
    words: Words,
    *,
    log: bool = False,
) -> Panel:
    """Lines over places where the null differs from place to place: dashed, in grey and each arm's own.

    means: rows with arm, value, null_value, limits and the place `x`; `extra`, where there is one, is a
    second null, dotted in the colour of the arm.
    """

    def draw(axes: Axes) -> None:
        for arm in arms:
            own = means[means["arm"] == arm.name].sort_values(x)
            axes.plot(
                own[x], own["null_value"], color=QUIET, linewidth=1.0, linestyle=(0, (4, 3)), zorder=0.5
            )
            if "extra" in own:
                axes.plot(own[x], own["extra"], color=colour(arm), linewidth=1.2, linestyle=":", zorder=1)
            _line(axes, arm, own, x)
        if log:
            axes.set_xscale("log", base=2)
            axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.set_xlabel(label)
        axes.tick_params(color=FAINT, labelcolor=INK)

    return Panel(title=title, draw=draw, alt=_peaks(title, arms, means, x, label))


def matrix(title: str, grid: pd.DataFrame, null: float) -> Panel:
    """Cosines of rows and columns of one kind, from -1 to 1, written into the cells; a mark for the null."""

    def draw(axes: Axes) -> None:
        image = axes.imshow(grid.to_numpy(float), cmap="PuOr_r", vmin=-1, vmax=1)
        names = [str(name) for name in grid.index]
        axes.set_xticks(range(len(names)), names, fontsize=7, rotation=40, ha="right")
        axes.set_yticks(range(len(names)), names, fontsize=7)
        for (row, column), value in np.ndenumerate(grid.to_numpy(float)):
            if row != column and isfinite(value):
                ink = INK if abs(value) < 0.6 else "#ffffff"
                axes.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=7, color=ink)
        _bar(axes, image, null)

    said = "; ".join(
        f"{one} {other} {grid.loc[one, other]:.2f}"
        for place, one in enumerate(grid.index)
        for other in grid.columns[place + 1 :]
    )
    side = max(3.6, 0.55 * len(grid) + 1.8)
    return Panel(title=title, draw=draw, alt=f"{title}: {said}.", size=(side + 0.8, side))


def heatmap(
    arm: Arm, grid: pd.DataFrame, top: float, labels: tuple[str, str], alt: str, *, null: float = nan
) -> Panel:
    """A map, rows upwards. Shade grows with the square root, from 0 to `top` for all arms alike.

    grid: rows are layers.  labels: of columns and of rows.  null: marked on the scale.
    """

    def draw(axes: Axes) -> None:
        from matplotlib.colors import PowerNorm

        image = axes.imshow(
            grid.to_numpy(float),
            aspect="auto",
            origin="lower",
            cmap="cividis",
            norm=PowerNorm(0.5, vmin=0, vmax=top or 1.0),
            interpolation="nearest",
        )
        size = 9 if max(len(str(name)) for name in grid.columns) < 6 else 7
        axes.set_xticks(range(grid.shape[1]), [str(name) for name in grid.columns], fontsize=size)
        every = max(1, -(-grid.shape[0] // 8))
        axes.set_yticks(range(0, grid.shape[0], every), [str(name) for name in grid.index[::every]])
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        axes.set_xlabel(labels[0])
        axes.set_ylabel(labels[1])
        _bar(axes, image, null)

    return Panel(title=arm.label, draw=draw, alt=alt)


def _bar(axes: Axes, image: AxesImage, null: float) -> None:
    """The scale of a map, with a mark where the null lies."""
    bar = axes.get_figure().colorbar(image, ax=axes, pad=0.02, aspect=14)  # type: ignore[union-attr]
    bar.outline.set_visible(False)
    bar.ax.tick_params(length=0)
    if isfinite(null):
        bar.ax.axhline(null, color=INK, linewidth=2.4)
        bar.ax.axhline(null, color="#ffffff", linewidth=1.0)


def scatter(
    title: str, arms: Sequence[Arm], x: Mapping[str, Change], y: Mapping[str, Change], labels: tuple[str, str]
) -> Panel:
    """Two changes against each other, with intervals both ways and the single seeds as small dots."""

    def draw(axes: Axes) -> None:
        null_line(axes, 0.0)
        null_line(axes, 0.0, vertical=True)
        for arm in arms:
            across, up = x[arm.name], y[arm.name]
            axes.plot(across.per_seed, up.per_seed, ".", color=colour(arm), markersize=4, alpha=0.7)
            cross(axes, arm, across.estimate, up.estimate)
        axes.set_xlabel(labels[0])
        axes.set_ylabel(labels[1])
        in_percent(axes, vertical=True)
        in_percent(axes, vertical=False)

    said = "; ".join(
        f"{a.label} {100 * x[a.name].estimate.value:+.1f}, {100 * y[a.name].estimate.value:+.1f}"
        for a in arms
    )
    return Panel(title=title, draw=draw, alt=f"{labels[0]}; {labels[1]}: {said}.", size=(5.6, 3.8))


def cross(axes: Axes, arm: Arm, across: Value, up: Value) -> None:
    """One arm as a point with intervals both ways."""
    axes.errorbar(
        across.value,
        up.value,
        xerr=_reach(across),
        yerr=_reach(up),
        fmt=marker(arm),
        color=colour(arm),
        markersize=7,
        elinewidth=1.3,
        zorder=3,
    )


def _reach(value: Value) -> list[list[float]] | None:
    """How far the interval reaches below and above the value."""
    if not isfinite(value.low):
        return None
    return [[max(0.0, value.value - value.low)], [max(0.0, value.high - value.value)]]


def stacked(title: str, arms: Sequence[Arm], parts: Mapping[str, Sequence[float]], label: str) -> Panel:
    """One bar per arm: the first part solid, the second light."""

    def draw(axes: Axes) -> None:
        rows_of_arms(axes, arms)
        for y, arm in enumerate(arms):
            left = 0.0
            for part, alpha in zip(parts[arm.name], (1.0, 0.35), strict=True):
                axes.barh(y, part, left=left, height=0.5, color=colour(arm), alpha=alpha, linewidth=0)
                left += part
        axes.set_xlabel(label)

    said = "; ".join(f"{a.label} " + " + ".join(f"{part:.1f}" for part in parts[a.name]) for a in arms)
    return Panel(title=title, draw=draw, alt=f"{title} ({label}): {said}.")


def rate_line(title: str, families: Sequence[Sequence[Arm]], kept: Mapping[str, Change], label: str) -> Panel:
    """Change against learning rate, one grey line per family of arms."""

    def draw(axes: Axes) -> None:
        from matplotlib.ticker import NullLocator

        null_line(axes, 0.0)
        for family in families:
            rates = [arm.learning_rate or np.nan for arm in family]
            axes.plot(
                rates, [kept[a.name].estimate.value for a in family], color=QUIET, linewidth=1, zorder=1
            )
            for arm, at in zip(family, rates, strict=True):
                change = kept[arm.name]
                axes.errorbar(
                    at,
                    change.estimate.value,
                    yerr=_reach(change.estimate),
                    fmt=marker(arm),
                    color=colour(arm),
                )
        axes.set_xscale("log")
        axes.set_xticks(sorted({arm.learning_rate or nan for family in families for arm in family}))
        axes.xaxis.set_major_formatter(lambda value, _: rate(value))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xlabel(label)
        in_percent(axes, vertical=True)

    said = "; ".join(
        f"{a.label} {100 * kept[a.name].estimate.value:+.1f}" for family in families for a in family
    )
    return Panel(title=title, draw=draw, alt=f"{title}: {said}.", size=(5.0, 3.0))


def _tidy_axis(axes: Axes, kind: Kind, *, vertical: bool) -> None:
    if kind in ("share", "points", "size"):
        in_percent(axes, vertical=vertical)
    if kind == "share":
        low, high = axes.get_ylim() if vertical else axes.get_xlim()
        limits = (max(low, -0.04), min(high, 1.04))
        (axes.set_ylim if vertical else axes.set_xlim)(*limits)
    axes.tick_params(color=FAINT, labelcolor=INK)


def _ends(title: str, arms: Sequence[Arm], means: pd.DataFrame, metric: str, words: Words) -> str:
    said = []
    for arm in arms:
        own = means[means["arm"] == arm.name].sort_values("step")
        if not own.empty:
            kind = kind_of(metric)
            first, last = (with_interval(Value(v), kind) for v in own["value"].iloc[[0, -1]])
            said.append(words("alt.from_to", arm=arm.label, first=first, last=last))
    return f"{title}. {'; '.join(said)}."


def _peaks(title: str, arms: Sequence[Arm], means: pd.DataFrame, place: str, label: str) -> str:
    said = []
    for arm in arms:
        own = means[means["arm"] == arm.name].sort_values(place)
        if not own.empty:
            shown = ", ".join(f"{value:.3g}" for value in own["value"])
            said.append(f"{arm.label}: {shown}")
    return f"{title}, {label}. {'; '.join(said)}."
