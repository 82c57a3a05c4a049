"""What was learned: scores on the task, the form of the answers, and how many tokens changed."""

from __future__ import annotations

from math import isfinite, nan
from typing import TYPE_CHECKING, Any

from sft_probe.report import cells
from sft_probe.report.cells import Column, Table
from sft_probe.report.charts import Chart, Missing
from sft_probe.report.numbers import Value, kind_of, number, with_interval
from sft_probe.report.panels import Dot, dots
from sft_probe.report.reasons import absent, subtitle
from sft_probe.report.sentences import points
from sft_probe.report.summaries import before_and_after, change, extreme, records

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from sft_probe.report.findings import Findings
    from sft_probe.report.words import Words

SCORES = ("exact_match", "contains_match", "token_f1", "choice_accuracy", "answer_logprob", "choice_margin")
FORM = ("stop_rate", "parse_rate", "allowed_label_rate", "schema_valid_rate", "length_ratio", "answer_tokens")
SHIFT = ("unshifted", "marginal", "shifted", "kl_tuned_base", "kl_base_tuned")


def what(found: Findings, words: Words) -> list[Chart | Missing]:
    """The figures of the section What."""
    return [
        _before_after(found, words, "scores", "task_alignment", SCORES),
        _before_after(found, words, "format", "format_adherence", FORM),
        _before_after(found, words, "token_shift", "token_shift", SHIFT),
    ]


def _before_after(
    found: Findings, words: Words, name: str, probe: str, metrics: Sequence[str]
) -> Chart | Missing:
    """Base against the end of training, one panel per metric and one row per arm."""
    shown = [metric for metric in metrics if not found.rows(metric).empty]
    if not shown:
        return Missing(
            name=name, title=words(f"chart.{name}.plain"), reason=absent(found.material, probe, words)
        )
    panels = tuple(
        dots(
            words.metric(metric),
            found.arms,
            _dots(found, metric),
            kind_of(metric),
            words,
            _null(found.rows(metric)),
        )
        for metric in shown
    )
    return Chart(
        name=name,
        title=_TITLES[name](found, words),
        subtitle=subtitle(found, words, probe, found.rows(shown[0])),
        note=words(f"chart.{name}.note"),
        panels=panels,
        table=_table(found, words, name, probe, shown),
    )


def _dots(found: Findings, metric: str) -> dict[str, Dot]:
    start, single, rows = _base(found, metric), found.seed_rows(metric), {}
    for row in records(found.of_main_data(found.rows(metric))):
        own = single[(single["arm"] == row["arm"]) & (single["step"] == row["step"])]
        own = own[(own["dataset"] == row["dataset"]) & (own["module"] == row["module"])]
        rows[row["arm"]] = Dot(
            value=Value(row["value"], row["ci_low"], row["ci_high"]),
            before=start.get(row["arm"], Value(nan)).value,
            null=start.get(row["arm"], Value(nan)),
            seeds=tuple(own["value"]) if row["seeds"] > 1 else (),
        )
    return rows


def _table(found: Findings, words: Words, name: str, probe: str, metrics: Sequence[str]) -> Table:
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
    return Table(name=name, caption=words(f"chart.{name}.plain"), columns=columns, rows=tuple(rows))


def _metric_rows(found: Findings, words: Words, probe: str, metric: str) -> list[tuple[cells.Cell, ...]]:
    kind, to, start = kind_of(metric), words.interval_word(), _base(found, metric)
    items = before_and_after(found.material.items, probe, metric)
    seeds = _dots(found, metric)
    rows: list[tuple[cells.Cell, ...]] = []
    for row in records(found.of_main_data(found.rows(metric))):
        before = start.get(row["arm"], Value(nan))
        paired = change(items[(items["arm"] == row["arm"]) & (items["dataset"] == row["dataset"])]).estimate
        moved = paired if isfinite(paired.value) else _unpaired(row, before)
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


def _unpaired(row: dict[str, Any], before: Value) -> Value:
    """Change without items. Where the base is the null by definition, only the end is uncertain."""
    start = before.value
    if start == row["null_value"]:
        return Value(row["value"] - start, row["ci_low"] - start, row["ci_high"] - start)
    return Value(row["value"] - start)


def _base(found: Findings, metric: str) -> dict[str, Value]:
    rows = found.of_main_data(found.rows(metric, end=False))
    return {
        row["arm"]: Value(row["value"], row["ci_low"], row["ci_high"])
        for row in records(rows[rows["step"] == 0])
    }


def _null(rows: pd.DataFrame) -> float:
    return float(rows["null_value"].iloc[0])


def _scores_title(found: Findings, words: Words) -> str:
    best = found.best()
    if best is None:
        return words("chart.scores.plain")
    if found.shown_learned[best.name] <= 0:
        return words("chart.scores.none")
    return words("chart.scores.gain", best=best.label, change=points(found.learned[best.name], words))


def _format_title(found: Findings, words: Words) -> str:
    moved = []
    for metric in FORM[:4]:
        start = _base(found, metric)
        for row in records(found.of_main_data(found.rows(metric))):
            before = start.get(row["arm"], Value(nan))
            if row["ci_low"] > before.high or row["ci_high"] < before.low:
                moved.append((abs(row["value"] - before.value), metric, before, row))
    if not moved:
        return words("chart.format.none")
    _, metric, before, row = max(moved, key=lambda entry: entry[0])
    return words(
        "chart.format.change",
        metric=words.metric(metric),
        before=number(before.value, "share", 0),
        after=with_interval(
            Value(row["value"], row["ci_low"], row["ci_high"]), "share", words.interval_word()
        ),
        arm=found.label(row["arm"]),
    )


def _shift_title(found: Findings, words: Words) -> str:
    rows = found.rows("shifted")
    if rows.empty:
        return words("chart.token_shift.plain")
    row = extreme(rows)
    return words(
        "chart.token_shift.most",
        arm=found.label(row["arm"]),
        share=with_interval(
            Value(row["value"], row["ci_low"], row["ci_high"]), "share", words.interval_word()
        ),
    )


_TITLES = {"scores": _scores_title, "format": _format_title, "token_shift": _shift_title}
