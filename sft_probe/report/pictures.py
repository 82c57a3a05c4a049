"""A chart as one picture: title, subtitle and legend above its panels, how to read it below."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING

from sft_probe.report.charts import INK, QUIET, colour, heading, marker, styled
from sft_probe.report.wrapping import wrapped

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from sft_probe.report.charts import Chart

COLUMNS = 3  # panels in a row
DOTS = 100  # pixels of an inch
NARROWEST = 6.4  # inches: room for a title above a single panel
BOLD_LETTERS, SMALL_LETTERS = 10.5, 15.0  # of title and subtitle per inch; Chinese ones are twice as wide
LINE = 0.21  # inches


def picture(chart: Chart) -> Figure:
    """A chart as a matplotlib figure, three panels in a row."""
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    columns = min(COLUMNS, len(chart.panels))
    rows = -(-len(chart.panels) // columns)
    across, down = chart.panels[0].size
    width = max(columns * across, NARROWEST)
    title = _lines(chart.title, width * BOLD_LETTERS)
    said, notes = (_lines(text, width * SMALL_LETTERS) for text in (chart.subtitle, chart.note))
    head, foot = (LINE * lines + 0.15 for lines in (len(title) + len(said) + bool(chart.legend), len(notes)))
    height = head + rows * down + foot
    with styled():
        layout = ConstrainedLayoutEngine(
            rect=(0, foot / height, columns * across / width, 1 - (head + foot) / height), h_pad=0.1
        )  # from the start, since colour bars are made for the layout they find
        drawn = Figure(figsize=(width, height), facecolor="white", layout=layout)
        grid = drawn.subplots(rows, columns, squeeze=False).ravel()
        for axes, panel in zip(grid, chart.panels, strict=False):
            panel.draw(axes)
            axes.set_title(heading(panel))
        for axes in grid[len(chart.panels) :]:
            axes.set_axis_off()
        _head(drawn, chart, title, said, height)
        drawn.text(0.01, 0.05 / height, "\n".join(notes), size=8.5, color=QUIET, va="bottom", linespacing=1.4)
    return drawn


def as_png(drawn: Figure, dots: int = DOTS) -> bytes:
    """A matplotlib figure as PNG, without anything that differs from one time to the next.

    dots: pixels of an inch.
    """
    buffer = BytesIO()
    with styled():
        drawn.savefig(buffer, format="png", dpi=dots, facecolor="white", metadata={"Software": None})
    return buffer.getvalue()


def _lines(text: str, letters: float) -> list[str]:
    return wrapped(text, round(letters)) if text else []


def _head(drawn: Figure, chart: Chart, title: list[str], said: list[str], height: float) -> None:
    """Title, subtitle and the arms' colours, line by line from the top."""
    from matplotlib.lines import Line2D

    lines = [*((line, "bold", 10.5, INK) for line in title), *((line, "normal", 8.5, QUIET) for line in said)]
    for number, (line, weight, size, ink) in enumerate(lines, start=1):
        at = 1 - LINE * number / height
        drawn.text(0.01, at, line, weight=weight, size=size, color=ink, va="bottom")
    if chart.legend:
        keys = [Line2D([], [], color=colour(arm), marker=marker(arm), linestyle="") for arm in chart.legend]
        drawn.legend(
            keys,
            [arm.label for arm in chart.legend],
            loc="upper left",
            bbox_to_anchor=(0, 1 - LINE * len(lines) / height),
            ncols=len(keys),
            frameon=False,
            fontsize=8.5,
        )
