"""Differences of two models, row by row, in the colour of the one that has more."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING, NamedTuple

from sft_probe.report.charts import COLOURS, FAINT, INK, QUIET, Panel, in_percent, null_line
from sft_probe.report.numbers import Kind, Value, with_interval

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

    from sft_probe.report.words import Words


class Row(NamedTuple):
    """shown: sign of a difference that the family lets stand, else 0."""

    name: str
    value: Value
    shown: int


def differences(title: str, rows: Sequence[Row], kind: Kind, words: Words) -> Panel:
    """One row per difference with its interval, around a line at zero; hollow where none is shown."""

    def draw(axes: Axes) -> None:
        null_line(axes, 0.0, vertical=True)
        for y, row in enumerate(rows):
            ink = COLOURS[row.shown > 0] if row.shown else QUIET
            if isfinite(row.value.low):
                axes.plot([row.value.low, row.value.high], [y, y], color=ink, linewidth=1.8, zorder=2)
            face = ink if row.shown else "none"
            axes.plot(row.value.value, y, "o", color=ink, markerfacecolor=face, markersize=5.5, zorder=3)
        axes.set_yticks(range(len(rows)), [row.name for row in rows], fontsize=9)
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.spines["left"].set_visible(False)
        axes.tick_params(color=FAINT, labelcolor=INK)
        axes.tick_params(axis="y", length=0)
        if kind == "points":
            in_percent(axes, vertical=False)

    said = "; ".join(f"{row.name} {with_interval(row.value, kind, words.interval_word())}" for row in rows)
    size = (7.2, 1.0 + 0.26 * len(rows))
    return Panel(title=title, draw=draw, alt=f"{title}: {said}.", size=size)
