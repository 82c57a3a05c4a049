"""Build every output of a report from a study's folder: page, Markdown, JSON, figures, tables."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sft_probe.report.charts import Chart, Drawing, draw
from sft_probe.report.document import report_document
from sft_probe.report.markdown import render_markdown
from sft_probe.report.marks import read_marks
from sft_probe.report.material import load
from sft_probe.report.page import render
from sft_probe.report.pictures import as_png, picture
from sft_probe.report.sheets import sheet
from sft_probe.report.story import Story, tell
from sft_probe.report.words import Words
from sft_probe.store.atomic import write_bytes, write_text

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

FILE_DOTS = 150  # pixels of an inch of the PNG files


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportPaths:
    """Where the outputs of a report stand."""

    html: Path
    markdown: Path
    json: Path
    figures: Path
    tables: Path


def build_report(
    output_dir: Path,
    *,
    lang: str = "en",
    show_unsafe: bool = False,
    certificate: Path | None = None,
    reference: str | None = None,
    png: bool = False,
) -> ReportPaths:
    """Write the report of a study beside its runs, replacing an older one.

    lang: "en" or "zh".  show_unsafe: also show requests that should be refused, and what was answered.
    certificate: by which probes are marked, in place of the shipped one.  reference: the arm that others are
    set against, if not the study's own.  png: figures as PNG files, too, which takes about twice as long.
    Raises: StoreError if no run is finished or a file is damaged, SpecError for an unknown language or arm,
    InputError for a file that is no certificate.
    """
    words = Words(lang)
    loaded, marks = load(output_dir, reference=reference), read_marks(certificate)
    marks = replace(marks, parameters=loaded.parameters)
    material = replace(loaded, show_unsafe=show_unsafe, marks=marks)
    story = tell(material, words)
    paths = ReportPaths(
        html=output_dir / "report.html",
        markdown=output_dir / "report.md",
        json=output_dir / "report.json",
        figures=output_dir / "figures",
        tables=output_dir / "tables",
    )
    drawings = _draw(story)
    _write_figures(drawings, paths.figures, png=png)
    _write_tables(story, paths.tables)
    write_text(paths.html, render(story, words, drawings, png=png))
    write_text(paths.markdown, render_markdown(story, words))
    write_text(
        paths.json,
        json.dumps(report_document(story, words), indent=1, ensure_ascii=False, allow_nan=False) + "\n",
    )
    return paths


def _draw(story: Story) -> dict[str, Drawing]:
    return {
        chart.name: draw(chart)
        for section in story.sections
        for chart in section.charts
        if isinstance(chart, Chart)
    }


def _write_figures(drawings: Mapping[str, Drawing], folder: Path, *, png: bool) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    for name, drawing in drawings.items():
        write_text(folder / f"{name}.svg", sheet(drawing))
        if png:
            write_bytes(folder / f"{name}.png", as_png(picture(drawing.chart), FILE_DOTS))


def _write_tables(story: Story, folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    for table in story.tables():
        write_text(folder / f"{table.name}.csv", table.csv())
