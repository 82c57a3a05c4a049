"""A whole chart in one file, title, legend and panels, as SVG or PNG."""

from __future__ import annotations

from html import escape
from io import BytesIO
from typing import TYPE_CHECKING, Any

from sft_probe.report.charts import INK, PIXELS, QUIET, colour, heading, marker, styled
from sft_probe.report.wrapping import wide, wrapped

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.figure import Figure

    from sft_probe.report.charts import Chart, Drawing
    from sft_probe.report.material import Arm

LINE = 0.2  # inches of a line of text in a PNG


def sheet(drawing: Drawing) -> str:
    """A chart as one SVG document: title, subtitle and legend above its panels, three in a row, on white."""
    chart, panels = drawing.chart, drawing.panels
    across, down = (round(size * PIXELS) for size in chart.panels[0].size)
    columns = min(3, len(panels))
    width = max(columns * across, 720)
    lines = [
        *((line, 15, INK, "bold") for line in wrapped(chart.title, width // 9)),
        *((line, 11, QUIET, "normal") for line in wrapped(chart.subtitle, width // 7)),
    ]
    head = "".join(
        f'<text x="12" y="{24 + 19 * place}" font-size="{size}" fill="{ink}" font-weight="{weight}">'
        f"{escape(line)}</text>"
        for place, (line, size, ink, weight) in enumerate(lines)
    )
    top = 24 + 19 * len(lines)
    keys = _keys(chart.legend, top)
    top += 24 if keys else 0
    body = "".join(
        panel.replace(
            "<svg",
            f'<svg x="{place % columns * across}" y="{top + place // columns * down}" height="{down}"',
            1,
        )
        for place, panel in enumerate(panels)
    )
    height = top + -(-len(panels) // columns) * down
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
        f'font-family="DejaVu Sans, sans-serif"><rect width="100%" height="100%" fill="#ffffff"/>'
        f"{head}{keys}{body}</svg>\n"
    )


def picture(chart: Chart) -> bytes:
    """The same as PNG."""
    with styled():
        buffer = BytesIO()
        _together(chart).savefig(
            buffer, format="png", dpi=150, facecolor="white", metadata={"Software": None}
        )
    return buffer.getvalue()


def _together(chart: Chart) -> Figure:
    """All panels of a chart as one matplotlib figure."""
    from matplotlib.figure import Figure

    columns = min(3, len(chart.panels))
    rows = -(-len(chart.panels) // columns)
    across, down = chart.panels[0].size
    letters = 11 * columns * across
    title, subtitle = wrapped(chart.title, round(0.8 * letters)), wrapped(chart.subtitle, round(letters))
    head = LINE * (1 + len(title) + len(subtitle) + bool(chart.legend))
    height = rows * down + head
    figure = Figure(figsize=(columns * across, height), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes, panel in zip(grid.flat, chart.panels, strict=False):
        panel.draw(axes)
        axes.set_title(heading(panel))
    for axes in grid.flat[len(chart.panels) :]:
        axes.remove()
    engine: Any = figure.get_layout_engine()
    engine.set(rect=(0, 0, 1, 1 - head / height), w_pad=0.1, h_pad=0.1)
    lines = [*((line, "bold") for line in title), *((line, "normal") for line in subtitle)]
    for place, (line, weight) in enumerate(lines):
        figure.text(0.01, 1 - LINE * (1 + place) / height, line, weight=weight)
    if chart.legend:
        _legend(figure, chart.legend, 1 - LINE * (0.5 + len(lines)) / height)
    return figure


def _legend(figure: Figure, arms: Sequence[Arm], top: float) -> None:
    from matplotlib.lines import Line2D

    keys = [
        Line2D([], [], color=colour(arm), marker=marker(arm), linestyle="", label=arm.label) for arm in arms
    ]
    figure.legend(handles=keys, loc="upper left", bbox_to_anchor=(0, top), ncols=4, frameon=False)


def _keys(arms: Sequence[Arm], y: int) -> str:
    parts, x = [], 18
    for arm in arms:
        parts.append(f'<circle cx="{x}" cy="{y - 4}" r="5" fill="{colour(arm)}"/>')
        parts.append(f'<text x="{x + 11}" y="{y}" font-size="11" fill="{INK}">{escape(arm.label)}</text>')
        x += 34 + 7 * wide(arm.label)
    return "".join(parts)
