"""When it was learned: every key measure over the training steps, and when half of its change was done."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from sft_probe.report import cells
from sft_probe.report.cells import Column, Table
from sft_probe.report.charts import Chart, Missing, Panel
from sft_probe.report.figures_stages import boundary_note, stage_charts
from sft_probe.report.figures_training import training_charts
from sft_probe.report.findings import STRICT
from sft_probe.report.numbers import DASH, Value, kind_of, number
from sft_probe.report.panels import over_steps
from sft_probe.report.reasons import absent, subtitle
from sft_probe.report.summaries import by_item_and_step
from sft_probe.stats.timelines import half_time, half_way

if TYPE_CHECKING:
    from sft_probe.report.findings import Findings
    from sft_probe.report.material import Arm
    from sft_probe.report.words import Words
    from sft_probe.stats.intervals import Interval

TIMELINE = (
    "exact_match",
    "contains_match",
    "choice_accuracy",
    "answer_logprob",
    "preference_accuracy",
    "stop_rate",
    "kl_tuned_base",
    "relative_drift",
    "relative_norm",
)


def when(found: Findings, words: Words) -> list[Chart | Missing]:
    """The figures of the section When."""
    return [_timeline(found, words), *stage_charts(found, words), *training_charts(found, words)]


class Half(NamedTuple):
    """The step at which half of a change was done: over seeds and items, and of each seed."""

    whole: Value
    seeds: list[float]


def halves(found: Findings, metric: str) -> dict[str, Half]:
    """By arm whose change is shown, when half of it was done."""
    known: dict[str, dict[str, Half]] = found.halves
    if metric not in known:
        known[metric] = _halves(found, metric)
    return known[metric]


def _halves(found: Findings, metric: str) -> dict[str, Half]:
    means = series(found, metric)
    seeds = _one_place(found, found.seed_rows(metric))
    result = {}
    for arm in found.arms:
        own = means[means["arm"] == arm.name].sort_values("step")
        if len(own) < 3 or not _moved(own):
            continue
        rows = seeds[seeds["arm"] == arm.name].sort_values("step")
        each = [half_way(r["step"].to_numpy(), r["value"].to_numpy()) for _, r in rows.groupby("seed")]
        result[arm.name] = Half(_half_time(found, own, rows), each)
    return result


def _half_time(found: Findings, means: pd.DataFrame, seeds: pd.DataFrame) -> Value:
    """From the items' scores where the store has them at every look, else from the seeds' curves."""
    first = means.iloc[0]
    items = found.material.items_of(first["probe"], first["metric"])
    own = items[(items["arm"] == first["arm"]) & (items["dataset"] == first["dataset"])]
    steps = means["step"].to_numpy(float)
    scores, clusters = by_item_and_step(own)
    whole = scores.shape[::2] == (seeds["seed"].nunique(), steps.size) and not np.isnan(scores).any()
    if not (whole and np.allclose(scores.mean(axis=(0, 1)), means["value"], atol=1e-6)):
        curves = seeds.pivot_table(index="seed", columns="step", values="value")
        if curves.isna().to_numpy().any() or curves.shape[1] != steps.size:
            return Value(half_way(steps, means["value"].to_numpy(float)))
        return _limits(half_time(steps, curves.to_numpy(float)[:, None, :], None))
    return _limits(half_time(steps, scores, clusters))


def _limits(reached: Interval) -> Value:
    return Value(reached.value, reached.low, reached.high)


def series(found: Findings, metric: str) -> pd.DataFrame:
    """Seed means of one metric over the steps: of the main data set, the last layer, the whole model."""
    return _one_place(found, found.rows(metric, end=False))


def _one_place(found: Findings, rows: pd.DataFrame) -> pd.DataFrame:
    if rows.empty:
        return rows
    whole = rows[(rows["module"] == "all") & (rows["layer"] == -1)]
    if not whole.empty:
        return whole
    rows = found.of_main_data(rows)
    last: pd.DataFrame = rows[rows["layer"] == rows["layer"].max()]
    return last


def _moved(rows: pd.DataFrame) -> bool:
    """The intervals of the first and the last look do not touch; without intervals, the values differ."""
    first, last = rows.iloc[0], rows.iloc[-1]
    if pd.isna([first["ci_low"], first["ci_high"], last["ci_low"], last["ci_high"]]).any():
        return bool(first["value"] != last["value"])
    return bool(last["ci_low"] > first["ci_high"] or last["ci_high"] < first["ci_low"])


def _timeline(found: Findings, words: Words) -> Chart | Missing:
    known = {metric: series(found, metric) for metric in TIMELINE}
    known = {metric: rows for metric, rows in known.items() if rows["step"].nunique() > 2}
    if not known:
        reason = words("absent.timeline") if found.material.arms else absent(found.material, "", words)
        return Missing(name="timeline", title=words("chart.timeline.plain"), reason=reason)
    panels = [
        over_steps(words.metric(metric), found.arms, rows, _one_place(found, found.seed_rows(metric)), words)
        for metric, rows in known.items()
    ]
    if loss := _loss(found, words):
        panels.append(loss)
    first = next(iter(known.values()))
    return Chart(
        name="timeline",
        title=_title(found, words),
        subtitle=subtitle(found, words, "timeline", first),
        note=words("chart.timeline.note") + boundary_note(found, words),
        panels=tuple(panels),
        table=_table(found, words, list(known)),
        legend=found.arms,
    )


def _loss(found: Findings, words: Words) -> Panel | None:
    log = found.material.train_log
    log = log[(log["metric"] == "loss") & log["arm"].isin([arm.name for arm in found.arms])]
    if log.empty:
        return None
    means = log.groupby(["arm", "step"], sort=False)["value"].mean().reset_index()
    means = means.assign(metric="loss", ci_low=float("nan"), ci_high=float("nan"))
    return over_steps(words.metric("loss"), found.arms, means, log, words)


def _title(found: Findings, words: Words) -> str:
    middle = {name: half.whole.value for name, half in halves(found, STRICT).items()}
    if not middle:
        return words("chart.timeline.plain")
    low, high = min(middle, key=middle.__getitem__), max(middle, key=middle.__getitem__)
    if low == high:
        return words("chart.timeline.half_one", arm=found.label(low), step=number(middle[low], digits=1))
    return words(
        "chart.timeline.half",
        first=found.label(low),
        early=number(middle[low], digits=1),
        last=found.label(high),
        late=number(middle[high], digits=1),
    )


def _table(found: Findings, words: Words, metrics: list[str]) -> Table:
    columns = (
        Column(key="measure", title=words("col.measure"), numeric=False),
        Column(key="arm", title=words("col.arm"), numeric=False),
        Column(key="start", title=words("col.before"), interval=True),
        Column(key="end", title=words("col.after"), interval=True),
        Column(key="half_at_step", title=words("col.half"), interval=True),
        Column(key="half_at_step_seeds", title=words("col.half_seeds")),
    )
    rows = []
    for metric in metrics:
        reached = halves(found, metric)
        for arm in found.arms:
            if not (own := series(found, metric).query("arm == @arm.name").sort_values("step")).empty:
                rows.append(_row(metric, arm, own, reached.get(arm.name), words))
    return Table(name="timeline", caption=words("chart.timeline.table"), columns=columns, rows=tuple(rows))


def _row(
    metric: str, arm: Arm, own: pd.DataFrame, reached: Half | None, words: Words
) -> tuple[cells.Cell, ...]:
    kind, to = kind_of(metric), words.interval_word()
    ends = [Value(row["value"], row["ci_low"], row["ci_high"]) for _, row in own.iloc[[0, -1]].iterrows()]
    half = (
        cells.amount(reached.whole, to=to)
        if reached
        else cells.Cell(text=DASH, value=float("nan"), why=words("why.no_change"))
    )
    return (
        cells.text(words.metric(metric)),
        cells.text(arm.label),
        cells.amount(ends[0], kind, to=to),
        cells.amount(ends[1], kind, to=to),
        half,
        cells.spread(reached.seeds if reached else ()),
    )
