"""A short report for pull requests, with figures that a code-hosting page shows."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sft_probe.report.charts import Chart
from sft_probe.report.marks import PROBE_OF

if TYPE_CHECKING:
    from sft_probe.report.cells import Cell, Table
    from sft_probe.report.material import Material
    from sft_probe.report.story import Story
    from sft_probe.report.words import Words

ROWS = 24  # of one table; the CSV has all of them


def render_markdown(story: Story, words: Words) -> str:
    """Verdict, tiles, and for each section its figures and short tables. Paths are relative to the file."""
    lines = [f"# {plain(story.title)}", "", *(plain(sentence) for sentence in story.verdict), ""]
    lines += [f"_{plain(text)}_\n" for text in (story.covers, *story.warnings) if text]
    lines += ["| | | |", "|---|---|---|"]
    for tile in story.tiles:
        cells = (words(f"nav.{tile.axis}"), f"**{plain(tile.headline)}** {plain(tile.limits)}", tile.caption)
        lines.append(f"| {cells[0]} | {cells[1]} | {plain(cells[2])} |")
    for section in story.sections:
        lines += ["", f"## {words(f'section.{section.axis}')}", ""]
        for chart in section.charts:
            if isinstance(chart, Chart):
                lines += _chart(chart, _mark(chart.name, story.material, words), words)
            else:
                lines += _missing(chart.title, chart.reason)
    lines += ["", f"## {words('section.items')}", "", *table_lines(story.browser.counts), ""]
    return "\n".join(lines)


def plain(text: str) -> str:
    """Text that Markdown and HTML leave alone: one line, markup characters escaped."""
    one_line = re.sub(r"\s+", " ", text.replace("&", "&amp;").replace("<", "&lt;"))
    return re.sub(r"([\\`*_\[\]|#~])", r"\\\1", one_line)


def _chart(chart: Chart, mark: str, words: Words) -> list[str]:
    alt = plain("; ".join(panel.alt for panel in chart.panels))[:400]
    lines = [f"### {plain(chart.title)}", "", plain(chart.subtitle), ""]
    lines += [plain(mark), ""] if mark else []
    lines += [f"![{alt}](figures/{chart.name}.svg)", ""]
    if len(chart.table.rows) <= ROWS:
        lines += [*table_lines(chart.table), ""]
    else:
        lines += [f"[{chart.table.name}.csv](tables/{chart.table.name}.csv)", ""]
    return [*lines, f"_{plain(chart.note)}_", ""]


def _mark(chart: str, material: Material, words: Words) -> str:
    """The mark of the probe whose numbers a figure shows; empty if it shows those of no probe."""
    return material.marks.of_chart(chart).text(words) if PROBE_OF.get(chart, chart) in material.probes else ""


def _missing(title: str, reason: str) -> list[str]:
    return [f"### {plain(title)}", "", plain(reason), ""]


def table_lines(table: Table) -> list[str]:
    """A table in Markdown."""
    head = " | ".join(plain(column.title) for column in table.columns)
    rule = " | ".join("---:" if column.numeric else "---" for column in table.columns)
    rows = [" | ".join(_cell(cell) for cell in row) for row in table.rows]
    return [f"| {line} |" for line in (head, rule, *rows)]


def _cell(cell: Cell) -> str:
    extra = f" ({cell.limits})" if cell.limits else f" ({cell.why})" if cell.why else ""
    return plain(cell.text + extra)
