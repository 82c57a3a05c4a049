"""When it was learned, seen from training itself: losses by kind of token and of row, gradients, updates."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sft_probe.report import cells
from sft_probe.report.cells import Column, Table
from sft_probe.report.charts import Chart, Missing
from sft_probe.report.figures_stages import boundary_note
from sft_probe.report.numbers import Value, number
from sft_probe.report.panels import over_steps
from sft_probe.report.reasons import subtitle
from sft_probe.report.summaries import records
from sft_probe.schema import TRAINING
from sft_probe.stats.timelines import half_way

if TYPE_CHECKING:
    import pandas as pd

    from sft_probe.report.findings import Findings
    from sft_probe.report.words import Words

KINDS = ("format", "content", "end")
NUMBERS = ("gradient_snr", "update_ratio", "second_moment_top")
MOST_STRATA = 6
FEWEST = 10  # tokens of a kind per record; fewer say nothing


def training_charts(found: Findings, words: Words) -> list[Chart | Missing]:
    """One figure, if training was followed."""
    rows = found.summary[(found.summary["probe"] == TRAINING) & found.summary["value"].notna()]
    if rows.empty or rows["step"].nunique() < 3:
        return []
    shown = _shown(rows, words)
    panels = []
    for title, own in shown:
        single = found.material.measurements
        key = own.iloc[0]
        same = (single["probe"] == TRAINING) & (single["metric"] == key["metric"])
        for column in ("stratum", "layer", "module"):
            same &= single[column] == key[column]
        panels.append(over_steps(title, found.arms, own, single[same], words, null=_null(own)))
    losses = rows[rows["metric"] == "token_loss"]
    return [
        Chart(
            name="training",
            title=_title(found, rows, words),
            subtitle=subtitle(found, words, TRAINING, losses if len(losses) else rows),
            note=words("chart.training.note") + boundary_note(found, words),
            panels=tuple(panels),
            table=_table(found, shown, words),
            legend=found.arms,
        )
    ]


def _shown(rows: pd.DataFrame, words: Words) -> list[tuple[str, pd.DataFrame]]:
    """Title and rows of each panel."""
    shown = []
    for kind in KINDS:
        own = _of_kind(rows, kind)
        shown.append((words(f"chart.training.{kind}"), own))
    strata = rows[rows["metric"] == "stratum_loss"]
    for name in list(dict.fromkeys(strata["stratum"]))[:MOST_STRATA]:
        title = words("chart.training.stratum", stratum=name)
        shown.append((title, strata[strata["stratum"] == name]))
    for metric in NUMBERS:
        own = rows[(rows["metric"] == metric) & (rows["layer"] == -1) & (rows["module"] == "all")]
        shown.append((words.metric(metric), own))
    return [(title, own) for title, own in shown if not own.empty]


def _title(found: Findings, rows: pd.DataFrame, words: Words) -> str:
    """Which kind of token was learnt first and last, by the arm that saw most kinds."""
    halves: dict[str, dict[str, float]] = {}
    for arm in found.arms:
        for kind in KINDS:
            own = _of_kind(rows, kind)
            own = own[own["arm"] == arm.name].sort_values("step")
            steps, losses = (own[column].to_numpy(float) for column in ("step", "value"))
            if len(own) > 2 and losses[-1] < losses[0]:
                halves.setdefault(arm.name, {})[kind] = half_way(steps, losses)
    name, own_halves = max(halves.items(), key=lambda entry: len(entry[1]), default=("", {}))
    if len(own_halves) < 2:
        return words("chart.training.plain")
    first, last = min(own_halves, key=own_halves.__getitem__), max(own_halves, key=own_halves.__getitem__)
    return words(
        "chart.training.order",
        arm=found.label(name),
        first=words(f"chart.training.{first}_tokens"),
        early=number(own_halves[first], digits=1),
        last=words(f"chart.training.{last}_tokens"),
        late=number(own_halves[last], digits=1),
    )


def _of_kind(rows: pd.DataFrame, kind: str) -> pd.DataFrame:
    """Losses of one kind of token; nothing if there are too few of them."""
    own = rows[(rows["metric"] == "token_loss") & (rows["stratum"] == kind)]
    return own if own["n"].median() >= FEWEST else own.head(0)


def _null(rows: pd.DataFrame) -> float:
    return float(rows["null_value"].iloc[0])


def _table(found: Findings, shown: list[tuple[str, pd.DataFrame]], words: Words) -> Table:
    columns = (
        Column(key="measure", title=words("col.measure"), numeric=False),
        Column(key="arm", title=words("col.arm"), numeric=False),
        Column(key="first", title=words("col.first_record"), interval=True),
        Column(key="last", title=words("col.last_record"), interval=True),
        Column(key="half_at_step", title=words("col.half")),
        Column(key="null", title=words("col.null")),
    )
    body = []
    for title, rows in shown:
        for arm in found.arms:
            own = records(rows[rows["arm"] == arm.name].sort_values("step"))
            if own:
                ends = [Value(row["value"], row["ci_low"], row["ci_high"]) for row in (own[0], own[-1])]
                half = half_way([row["step"] for row in own], [row["value"] for row in own])
                body.append(
                    (
                        cells.text(title),
                        cells.text(arm.label),
                        *(cells.amount(end, to=words.interval_word()) for end in ends),
                        cells.amount(half, why=words("why.no_change")),
                        cells.amount(own[0]["null_value"]),
                    )
                )
    return Table(name="training", caption=words("chart.training.plain"), columns=columns, rows=tuple(body))
