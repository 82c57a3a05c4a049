"""How sure: what the intervals cover, single seeds, smallest detectable effects, nulls and blind spots."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING

from sft_probe.report import cells
from sft_probe.report.cells import Column, Table
from sft_probe.report.charts import Chart, Missing
from sft_probe.report.numbers import Value, kind_of, number, p_value
from sft_probe.report.panels import Dot, change_dot, dots
from sft_probe.report.reasons import absent, seeds_phrase
from sft_probe.report.sentences import detectable
from sft_probe.report.summaries import at_end, records

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sft_probe.report.findings import Findings
    from sft_probe.report.summaries import Change
    from sft_probe.report.words import Words


def sure(found: Findings, words: Words) -> list[Chart | Missing]:
    """The figure of the section How sure."""
    known = {
        name: changes
        for name, changes in (("learned", found.learned), ("kept", found.kept))
        if any(isfinite(change.estimate.value) for change in changes.values())
    }
    if not known:
        reason = absent(found.material, "task_alignment", words)
        return [Missing(name="seeds", title=words("chart.seeds.plain"), reason=reason)]
    panels = tuple(
        dots(words(f"axis.{name}"), found.arms, _rows(changes), "points", words, 0.0)
        for name, changes in known.items()
    )
    smallest = words.listed(
        words(f"detectable.{name}", mde=detectable(changes.values())) for name, changes in known.items()
    )
    return [
        Chart(
            name="seeds",
            title=words("chart.seeds.detectable", list=smallest),
            subtitle=words("chart.seeds.subtitle", seeds=seeds_phrase(found.material, words)),
            note=words("chart.seeds.note"),
            panels=panels,
            table=_seed_table(found, words, known),
        )
    ]


def _rows(changes: Mapping[str, Change]) -> dict[str, Dot]:
    return {name: change_dot(change) for name, change in changes.items() if isfinite(change.estimate.value)}


def _seed_table(found: Findings, words: Words, known: Mapping[str, Mapping[str, Change]]) -> Table:
    columns = (
        Column(key="measure", title=words("col.measure"), numeric=False),
        Column(key="arm", title=words("col.arm"), numeric=False),
        Column(key="change", title=words("col.over_items"), interval=True),
        Column(key="change_anew", title=words("col.over_seeds"), interval=True),
        Column(key="seed_values", title=words("col.seed_values")),
        Column(key="detectable", title=words("col.detectable")),
        Column(key="n", title=words("col.items")),
        Column(key="clusters", title=words("col.clusters")),
    )
    to = words.interval_word()
    rows = tuple(
        (
            cells.text(words("col.task" if name == "learned" else "col.benchmarks")),
            cells.text(arm.label),
            cells.amount(changes[arm.name].estimate, "points", to=to, why=changes[arm.name].why),
            cells.amount(changes[arm.name].anew, "points", to=to, why=words("why.one_seed")),
            cells.spread(changes[arm.name].per_seed, "points"),
            cells.amount(changes[arm.name].detectable, "size"),
            cells.count(changes[arm.name].n),
            cells.count(changes[arm.name].n_clusters),
        )
        for name, changes in known.items()
        for arm in found.arms
    )
    return Table(name="seeds", caption=words("chart.seeds.plain"), columns=columns, rows=rows)


def family_table(found: Findings, words: Words) -> Table:
    """Every test of the report with its p-value, alone and within the family."""
    columns = (
        Column(key="claim", title=words("col.claim"), numeric=False),
        Column(key="arm", title=words("col.arm"), numeric=False),
        Column(key="dataset", title=words("col.benchmark"), numeric=False),
        Column(key="p", title=words("col.p")),
        Column(key="adjusted", title=words("col.adjusted")),
        Column(key="shown", title=words("col.shown"), numeric=False),
    )
    rows = tuple(
        (
            cells.text(words(f"claim.{claim.about}", margin=number(found.margin, "size"))),
            cells.text(found.label(claim.arm)),
            cells.text(claim.dataset),
            cells.printed(p_value(claim.p), claim.p),
            cells.printed(p_value(claim.adjusted), claim.adjusted),
            cells.text(words("claim.shown") if claim.shown else ""),
        )
        for claim in found.claims
    )
    caption = words("table.family", n=len(rows))
    return Table(name="family", caption=caption, columns=columns, rows=rows)


def probes_table(found: Findings, words: Words) -> Table:
    """What each probe asks, what it shows if nothing happened, and what it cannot see."""
    keys = ("question", "null", "blind_spots", "source")
    columns = (
        Column(key="probe", title=words("col.probe"), numeric=False),
        Column(key="certificate", title=words("col.certificate"), numeric=False),
        *(Column(key=key, title=words(f"col.{key}"), numeric=False) for key in keys),
        Column(key="not_applicable", title=words("col.not_applicable"), numeric=False),
    )
    rows = tuple(
        (
            cells.text(name),
            cells.text(found.material.marks.of(name).text(words)),
            *(cells.text(str(about.get(key, ""))) for key in (*keys, "not_applicable")),
        )
        for name, about in found.material.probes.items()
    )
    return Table(name="probes", caption=words("table.probes"), columns=columns, rows=rows)


def audit_table(found: Findings, words: Words) -> Table:
    """What the audit of the data found before any compute."""
    columns = tuple(
        Column(key=key, title=words(f"col.{key}"), numeric=False) for key in ("severity", "code", "message")
    )
    rows = tuple(
        tuple(cells.text(str(finding.get(column.key, ""))) for column in columns)
        for finding in found.material.audit
    )
    return Table(name="audit", caption=words("table.audit"), columns=columns, rows=rows)


def everything_table(found: Findings, words: Words) -> Table:
    """Every measurement at the end of training, whichever probe made it; undefined ones with their reason."""
    columns = (
        *(
            Column(key=key, title=words(f"col.{key}"), numeric=False)
            for key in ("probe", "metric", "arm", "dataset", "stratum", "module")
        ),
        Column(key="layer", title=words("col.layer")),
        Column(key="value", title=words("col.value"), interval=True),
        Column(key="null", title=words("col.null")),
        Column(key="n", title=words("col.items")),
        Column(key="unit", title=words("col.unit"), numeric=False),
    )
    rows = tuple(
        (
            *(cells.text(row[key]) for key in ("probe", "metric")),
            cells.text(found.label(row["arm"])),
            *(cells.text(row[key]) for key in ("dataset", "stratum", "module")),
            cells.count(row["layer"]) if row["layer"] >= 0 else cells.text(""),
            cells.amount(
                Value(row["value"], row["ci_low"], row["ci_high"]),
                kind_of(row["metric"]),
                to=words.interval_word(),
                why=row["why"],
            ),
            cells.amount(row["null_value"], kind_of(row["metric"])),
            cells.count(row["n"]),
            cells.text(row["unit"]),
        )
        for row in records(at_end(found.summary))
    )
    return Table(name="everything", caption=words("table.everything"), columns=columns, rows=rows)
