"""The report as data, before any markup: verdict, tiles, sections, browser. Every output is made of it."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING

from sft_probe.report import cells
from sft_probe.report.browser import Browser, browse
from sft_probe.report.cells import Column, Table
from sft_probe.report.figures_cost import cost
from sft_probe.report.figures_probe import probe_charts
from sft_probe.report.figures_sure import audit_table, everything_table, family_table, probes_table, sure
from sft_probe.report.figures_what import what
from sft_probe.report.figures_when import when
from sft_probe.report.figures_where import where
from sft_probe.report.findings import find
from sft_probe.report.matrix import matrices, matrix_table
from sft_probe.report.numbers import seconds
from sft_probe.report.reasons import seeds_phrase
from sft_probe.report.sentences import verdict
from sft_probe.report.tiles import Tile, tiles

if TYPE_CHECKING:
    from sft_probe.report.charts import Chart, Missing
    from sft_probe.report.findings import Findings
    from sft_probe.report.material import Material
    from sft_probe.report.words import Words

AXES = {"what": what, "when": when, "where": where, "cost": cost, "sure": sure}
DECLARED = {axis: axis for axis in AXES} | {"sure": "how sure"}  # what a probe calls the axis


@dataclass(frozen=True, kw_only=True)
class Section:
    """One question with its figures. axis: its name in addresses and in the catalogue."""

    axis: str
    charts: tuple[Chart | Missing, ...]


@dataclass(frozen=True, kw_only=True)
class Story:
    """Everything a report says, in one language. covers: what the intervals cover, in words."""

    material: Material
    title: str
    verdict: list[str]
    covers: str
    warnings: list[str]
    tiles: list[Tile]
    sections: tuple[Section, ...]
    matrices: tuple[Table, ...]
    browser: Browser
    family: Table
    audit: Table
    probes: Table
    everything: Table
    runs: Table

    def tables(self) -> tuple[Table, ...]:
        """Every table of the report, each of which is a CSV file."""
        charts = [
            chart.table for section in self.sections for chart in section.charts if hasattr(chart, "table")
        ]
        return (
            *self.matrices,
            *charts,
            self.browser.counts,
            self.family,
            self.audit,
            self.probes,
            self.everything,
            self.runs,
        )


def tell(material: Material, words: Words) -> Story:
    """Test, measure and put into words everything a report shows."""
    found = find(material)
    return Story(
        material=material,
        title=str(material.study.get("name") or "sft-probe"),
        verdict=verdict(found, words) if material.arms else [words("page.no_arms")],
        covers=covers(found, words),
        warnings=_warnings(material, words),
        tiles=tiles(found, words),
        sections=tuple(
            Section(axis=axis, charts=(*make(found, words), *probe_charts(found, words, DECLARED[axis])))
            for axis, make in AXES.items()
        ),
        matrices=tuple(
            matrix_table(matrix, found, words) for matrix in matrices(found, _certificates(material, words))
        ),
        browser=browse(found, words),
        family=family_table(found, words),
        audit=audit_table(found, words),
        probes=probes_table(found, words),
        everything=everything_table(found, words),
        runs=_runs_table(material, words),
    )


def covers(found: Findings, words: Words) -> str:
    """What the intervals cover, in words; empty if nothing was compared."""
    changes = [c for c in (*found.learned.values(), *found.kept.values()) if isfinite(c.estimate.value)]
    if not changes:
        return ""
    largest = max(changes, key=lambda change: change.n)
    key = "page.covers_clusters" if largest.n_clusters < largest.n else "page.covers_items"
    unit = words(key, n=f"{largest.n:,}", clusters=f"{largest.n_clusters:,}")
    return words("page.covers", unit=unit, seeds=seeds_phrase(found.material, words))


def _warnings(material: Material, words: Words) -> list[str]:
    """What is missing: runs that failed, with their reasons, and runs that are not finished."""
    warnings = [words("page.failed", run=failure.run, reason=failure.reason) for failure in material.failures]
    if material.unfinished:
        runs = words.listed(material.unfinished)
        warnings.append(words("page.unfinished", n=len(material.unfinished), runs=runs))
    return warnings


def _runs_table(material: Material, words: Words) -> Table:
    columns = (
        Column(key="run", title=words("col.run"), numeric=False),
        Column(key="arm", title=words("col.arm"), numeric=False),
        Column(key="seed", title=words("col.seed")),
        Column(key="last_step", title=words("col.steps")),
        Column(key="trainable_parameters", title=words("col.trainable")),
        Column(key="device", title=words("col.device"), numeric=False),
        Column(key="token_budget", title=words("col.token_budget")),
        Column(key="started", title=words("col.started"), numeric=False),
        Column(key="seconds", title=words("col.took")),
        Column(key="digest", title=words("col.digest"), numeric=False),
    )
    rows = tuple(
        (
            cells.text(run.run),
            cells.text(run.label),
            cells.count(run.seed),
            cells.count(max(run.steps, default=0)),
            cells.count(run.trainable_parameters or float("nan")),
            cells.text(run.device),
            cells.count(run.token_budget or float("nan")),
            cells.text(run.started),
            cells.printed(seconds(sum(run.seconds.values())), sum(run.seconds.values())),
            cells.Cell(text=run.digest[:12], value=run.digest),
        )
        for run in material.runs
    )
    return Table(name="runs", caption=words("table.runs"), columns=columns, rows=rows)


def _certificates(material: Material, words: Words) -> dict[str, str]:
    """Marks by probe; none where no certificate is at hand."""
    known = material.probes if material.marks.probes else ()
    return {probe: material.marks.of(probe).text(words) for probe in known}
