"""A chart of the base against the end of training: any metrics of any probe, arm by arm."""

from __future__ import annotations

from dataclasses import dataclass
from math import isclose, isfinite, nan
from typing import TYPE_CHECKING, Any

from sft_probe.report import cells
from sft_probe.report.cells import Column, Table
from sft_probe.report.charts import Chart, Missing
from sft_probe.report.numbers import Value, kind_of, number, with_interval
from sft_probe.report.panels import Dot, dots
from sft_probe.report.reasons import absent, subtitle
from sft_probe.report.summaries import change, records

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from sft_probe.report.findings import Findings
    from sft_probe.report.words import Words


@dataclass(frozen=True, slots=True, kw_only=True)
class Caption:
    """What stands around a chart. name: of its files.  title: its finding.  plain: what it shows."""

    name: str
    title: str
    plain: str
    note: str


def before_after_chart(
    found: Findings, words: Words, says: Caption, probe: str, metrics: Sequence[str]
) -> Chart | Missing:
    """Base against the end of training, one panel per metric and one row per arm."""
    shown = [metric for metric in metrics if not found.rows(metric, probe=probe).empty]
    if not shown:
        return Missing(name=says.name, title=says.plain, reason=absent(found.material, probe, words))
    panels = tuple(
        dots(
            words.metric(metric),
            found.arms,
            _dots(found, probe, metric),
            kind_of(metric),
            words,
            _null(found.rows(metric, probe=probe)),
        )
        for metric in shown
    )
    return Chart(
        name=says.name,
        title=says.title,
        subtitle=subtitle(found, words, probe, found.rows(shown[0], probe=probe)),
        note=says.note,
        panels=panels,
        table=_table(found, words, says, probe, shown),
    )


def largest_move(found: Findings, words: Words, probe: str, metrics: Sequence[str]) -> str:
    """A sentence about the metric whose end lies farthest outside the base's interval; empty if none does.

    The farthest is the one that moved by most of its own standard errors.
    """
    moved = []
    for metric in metrics:
        start = _base(found, probe, metric)
        for row in records(found.of_main_data(found.rows(metric, probe=probe))):
            before = start.get(row["arm"], Value(nan))
            if row["ci_low"] > before.high or row["ci_high"] < before.low:
                width = (row["ci_high"] - row["ci_low"]) + (before.high - before.low)
                moved.append((abs(row["value"] - before.value) / max(width, 1e-12), metric, before, row))
    if not moved:
        return ""
    _, metric, before, row = max(moved, key=lambda entry: entry[0])
    kind = kind_of(metric)
    return words(
        "chart.moved",
        metric=words.metric(metric),
        before=number(before.value, kind, 0 if kind == "share" else None),
        after=with_interval(Value(row["value"], row["ci_low"], row["ci_high"]), kind, words.interval_word()),
        arm=found.label(row["arm"]),
    )


def _dots(found: Findings, probe: str, metric: str) -> dict[str, Dot]:
    start, single, rows = _base(found, probe, metric), found.seed_rows(metric, probe=probe), {}
    for row in records(found.of_main_data(found.rows(metric, probe=probe))):
        own = single[(single["arm"] == row["arm"]) & (single["step"] == row["step"])]
        own = own[(own["dataset"] == row["dataset"]) & (own["module"] == row["module"])]
        rows[row["arm"]] = Dot(
            value=Value(row["value"], row["ci_low"], row["ci_high"]),
            before=start.get(row["arm"], Value(nan)).value,
            null=start.get(row["arm"], Value(nan)),
            seeds=tuple(own["value"]) if row["seeds"] > 1 else (),
        )
    return rows


def _table(found: Findings, words: Words, says: Caption, probe: str, metrics: Sequence[str]) -> Table:
    columns = (
        Column(key="measure", title=words("col.measure"), numeric=False),
        Column(key="arm", title=words("col.arm"), numeric=False),
        Column(key="before", title=words("col.before"), interval=True),
        Column(key="after", title=words("col.after"), interval=True),
        Column(key="change", title=words("col.change"), interval=True),
        Column(key="seed_range", title=words("col.seed_values")),
        Column(key="n", title=words("col.items")),
        Column(key="clusters", title=words("col.clusters")),
    )
    rows = [row for metric in metrics for row in _metric_rows(found, words, probe, metric)]
    return Table(name=says.name, caption=says.plain, columns=columns, rows=tuple(rows))


def _metric_rows(found: Findings, words: Words, probe: str, metric: str) -> list[tuple[cells.Cell, ...]]:
    kind, to, start = kind_of(metric), words.interval_word(), _base(found, probe, metric)
    items = found.material.flips(probe, metric)
    seeds = _dots(found, probe, metric)
    rows: list[tuple[cells.Cell, ...]] = []
    for row in records(found.of_main_data(found.rows(metric, probe=probe))):
        before = start.get(row["arm"], Value(nan))
        paired = change(items[(items["arm"] == row["arm"]) & (items["dataset"] == row["dataset"])]).estimate
        moved = paired if _agrees(paired.value, row["value"] - before.value) else _unpaired(row, before)
        rows.append(
            (
                cells.text(words.metric(metric)),
                cells.text(found.label(row["arm"])),
                cells.amount(before, kind, to=to),
                cells.amount(Value(row["value"], row["ci_low"], row["ci_high"]), kind, to=to),
                cells.amount(moved, kind_of(metric, change=True), to=to),
                cells.spread(seeds[row["arm"]].seeds, kind),
                cells.count(row["n"]),
                cells.count(row["n_clusters"]),
            )
        )
    return rows


def _agrees(paired: float, apart: float) -> bool:
    """Items may be weighted otherwise than the row: by example, not by token. Then they do not serve."""
    return isfinite(paired) and (not isfinite(apart) or isclose(paired, apart, rel_tol=0.02, abs_tol=1e-6))


def _unpaired(row: dict[str, Any], before: Value) -> Value:
    """Change without items. Where the base is the null by definition, only the end is uncertain."""
    start = before.value
    if start == row["null_value"]:
        return Value(row["value"] - start, row["ci_low"] - start, row["ci_high"] - start)
    return Value(row["value"] - start)


def _base(found: Findings, probe: str, metric: str) -> dict[str, Value]:
    rows = found.of_main_data(found.rows(metric, end=False, probe=probe))
    return {
        row["arm"]: Value(row["value"], row["ci_low"], row["ci_high"])
        for row in records(rows[rows["step"] == 0])
    }


def _null(rows: pd.DataFrame) -> float:
    return float(rows["null_value"].iloc[0])
