"""Runs on disk as pandas frames and figures, which notebooks show by themselves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from sft_probe.report.browser import changed
from sft_probe.report.build import ReportPaths, build_report
from sft_probe.report.charts import Chart, draw
from sft_probe.report.material import Material, load
from sft_probe.report.pictures import as_png, picture
from sft_probe.report.sheets import sheet
from sft_probe.report.story import Story, tell
from sft_probe.report.summaries import before_and_after
from sft_probe.report.words import Words
from sft_probe.store.atomic import write_text
from sft_probe.store.query import query
from sft_probe.store.runs import RunStore

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawn

    from sft_probe.report.cells import Table

BEFORE_AFTER = (
    *("arm", "seed", "dataset", "stratum", "item", "cluster", "prompt", "target"),
    *("said_before", "said_after", "before", "after", "change"),
)


def open_runs(folder: str | Path, *, lang: str = "en", keep: object = None) -> Runs:
    """What a study or a comparison left in its output folder.

    lang: of figures and sentences, "en" or "zh".  keep: something that must live as long as the runs do.
    Raises: StoreError if no run is finished or a file is damaged, SpecError for an unknown language.
    """
    opened = Runs(Path(folder), lang, keep)
    Words(lang), opened.material  # what cannot be read is said here, not at the first look at it
    return opened


@dataclass(frozen=True, repr=False)
class Figure:
    """A figure of the report: its finding as title, its drawing, and the table of the same numbers."""

    chart: Chart

    @property
    def name(self) -> str:
        """What the report calls its files."""
        return self.chart.name

    @property
    def title(self) -> str:
        """What the figure shows, in one sentence."""
        return self.chart.title

    @property
    def subtitle(self) -> str:
        """Measure, unit, data, n, seeds."""
        return self.chart.subtitle

    @property
    def note(self) -> str:
        """How to read it."""
        return self.chart.note

    @property
    def table(self) -> pd.DataFrame:
        """The numbers that are drawn, at full precision."""
        return frame_of(self.chart.table)

    @cached_property
    def svg(self) -> str:
        """The whole figure, title and legend included, as one SVG document."""
        return sheet(draw(self.chart))

    def save(self, path: str | Path) -> Path:
        """Write the SVG document."""
        write_text(Path(path), self.svg)
        return Path(path)

    def matplotlib(self) -> Drawn:
        """The same as a matplotlib figure, to be changed."""
        return picture(self.chart)

    @cached_property
    def png(self) -> bytes:
        """The whole figure as a picture, which every place that shows notebooks can show."""
        return as_png(picture(self.chart))

    def __repr__(self) -> str:
        return f"{self.title}\n{self.subtitle}"

    def _repr_png_(self) -> tuple[bytes, dict[str, str]]:
        return self.png, {"alt": f"{self.title}. {self.subtitle}"}


@dataclass(frozen=True, repr=False)
class Runs:
    """Finished runs of one output folder. Frames are read when they are first asked for."""

    folder: Path
    lang: str = "en"
    _keep: object = None

    @cached_property
    def runs(self) -> pd.DataFrame:
        """One row per run: arm, seed, steps looked at, parameters, seconds."""
        return self.sql("select * from runs")

    @cached_property
    def measurements(self) -> pd.DataFrame:
        """One row per number: columns `schema.MEASUREMENT_COLUMNS`; NaN has its reason in `why`."""
        return RunStore(self.folder).measurements()

    @cached_property
    def items(self) -> pd.DataFrame:
        """One row per example, metric and step: columns `schema.ITEM_COLUMNS`."""
        return RunStore(self.folder).items()

    @cached_property
    def train_log(self) -> pd.DataFrame:
        """What the trainer logged."""
        return RunStore(self.folder).train_log()

    @cached_property
    def material(self) -> Material:
        """What the report is made of."""
        return load(self.folder)

    @cached_property
    def story(self) -> Story:
        """The report as data."""
        return tell(self.material, Words(self.lang))

    @property
    def verdict(self) -> list[str]:
        """The findings in plain sentences, never more certain than their intervals."""
        return list(self.story.verdict)

    @cached_property
    def figures(self) -> Mapping[str, Figure]:
        """Figures by name, in the order of the report."""
        charts = (chart for section in self.story.sections for chart in section.charts)
        return {chart.name: Figure(chart) for chart in charts if isinstance(chart, Chart)}

    @cached_property
    def missing(self) -> Mapping[str, str]:
        """Why a figure of the report cannot be drawn, by its name."""
        charts = (chart for section in self.story.sections for chart in section.charts)
        return {chart.name: chart.reason for chart in charts if not isinstance(chart, Chart)}

    @cached_property
    def tables(self) -> Mapping[str, pd.DataFrame]:
        """The tables of the report by name, at full precision."""
        return {table.name: frame_of(table) for table in self.story.tables()}

    def before_after(self, probe: str, metric: str) -> pd.DataFrame:
        """One row per arm, seed and example: what was said, and the metric, at step 0 and at the end.

        Columns `BEFORE_AFTER`. Where the metric lies in [0, 1], right being above one half, `change` is
        gained, lost, kept_right, or wrong both times: kept_wrong in the same words, reworded in others.
        """
        rows = before_and_after(self.material.items, probe, metric)
        values = rows[["before", "after"]].to_numpy(dtype=float)
        graded = rows.assign(change=changed(rows) if ((values >= 0) & (values <= 1)).all() else "")
        return graded[list(BEFORE_AFTER)].reset_index(drop=True)

    def sql(self, statement: str) -> pd.DataFrame:
        """The answer to one SQL statement over `measurements`, `items`, `train_log` and `runs`.

        Raises: StoreError if the statement fails.
        """
        return query(self.folder, statement)

    def report(self) -> ReportPaths:
        """Write the whole report beside the runs."""
        return build_report(self.folder, lang=self.lang)

    def __repr__(self) -> str:
        tiles = (f"{tile.headline} {tile.limits}".strip() + f": {tile.caption}" for tile in self.story.tiles)
        return "\n".join((self.story.title, *self.verdict, self.story.covers, *tiles))

    def _repr_html_(self) -> str:
        words = Words(self.lang)
        tiles = "".join(
            f"<tr><th>{escape(words(f'nav.{tile.axis}'))}</th><td><b>{escape(tile.headline)}</b> "
            f"{escape(tile.limits)}</td><td>{escape(tile.caption)}</td></tr>"
            for tile in self.story.tiles
        )
        said = "".join(f"<p>{escape(sentence)}</p>" for sentence in (*self.verdict, self.story.covers))
        return f"<h3>{escape(self.story.title)}</h3>{said}<table>{tiles}</table>"


def frame_of(table: Table) -> pd.DataFrame:
    """A table of the report as a frame; undefined numbers are NaN."""
    columns: list[str] = table.csv().splitlines()[0].split(",")
    records: list[dict[str, Any]] = table.records()
    return pd.DataFrame(records, columns=columns)
