"""Figures of an analysis: panels as one SVG document, and a line for each seed under that of their mean."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from sft_probe.report.charts import Panel


def drawing(name: str, title: str, subtitle: str, panels: Sequence[Panel]) -> str:
    """Panels side by side as one SVG document. title: what they show.  subtitle: measure, unit, seeds."""
    from sft_probe.report.cells import Table
    from sft_probe.report.charts import Chart, draw
    from sft_probe.report.sheets import sheet

    none = Table(name=name, caption=title, columns=(), rows=())
    chart = Chart(name=name, title=title, subtitle=subtitle, panels=tuple(panels), table=none)
    return sheet(draw(chart))


def seed_lines(
    axes: Axes, values: pd.DataFrame, place: int, label: str, *, across: pd.DataFrame | None = None
) -> None:
    """A thin line for each seed and a marked one for their mean.

    values: heights, places on the x axis as index, seeds across.  across: those places where they differ by
    seed, of the same shape.  place: in the order of colours.
    """
    from sft_probe.report.charts import COLOURS, MARKERS

    at = np.repeat(np.asarray(values.index, float)[:, None], values.shape[1], axis=1)
    at = at if across is None else across.to_numpy(float)
    heights = values.to_numpy(float)
    axes.plot(at, heights, color=COLOURS[place], alpha=0.3, linewidth=0.8)
    style = {"color": COLOURS[place], "marker": MARKERS[place], "markersize": 4}
    axes.plot(at.mean(axis=1), heights.mean(axis=1), label=label, **style)
