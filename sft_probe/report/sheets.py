"""A whole chart as one SVG document: title, legend and panels."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from sft_probe.report.charts import INK, PIXELS, QUIET, colour
from sft_probe.report.wrapping import wide, wrapped

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sft_probe.report.charts import Drawing
    from sft_probe.report.material import Arm


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


def _keys(arms: Sequence[Arm], y: int) -> str:
    parts, x = [], 18
    for arm in arms:
        parts.append(f'<circle cx="{x}" cy="{y - 4}" r="5" fill="{colour(arm)}"/>')
        parts.append(f'<text x="{x + 11}" y="{y}" font-size="11" fill="{INK}">{escape(arm.label)}</text>')
        x += 34 + 7 * wide(arm.label)
    return "".join(parts)
