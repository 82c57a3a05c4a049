"""At what cost: what the benchmarks lost, learning against forgetting, and seconds spent."""

from __future__ import annotations

from math import isfinite, nan
from typing import TYPE_CHECKING

import pandas as pd

from sft_probe.report import cells
from sft_probe.report.cells import Column, Table
from sft_probe.report.charts import Chart, Missing, Panel
from sft_probe.report.figures_frontier import frontier_charts
from sft_probe.report.figures_ledger import ledger_charts
from sft_probe.report.figures_relearning import relearning_charts
from sft_probe.report.numbers import Value, number, p_value, rate, seconds
from sft_probe.report.panels import change_dot, dots, rate_line, scatter, stacked, with_unit
from sft_probe.report.reasons import absent, seeds_phrase, subtitle
from sft_probe.report.sentences import detectable, growth_list, points
from sft_probe.report.summaries import UNKNOWN, Change
from sft_probe.stats.contrasts import mcnemar

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sft_probe.report.findings import Findings
    from sft_probe.report.material import Arm
    from sft_probe.report.words import Words

PANELS = 8  # more benchmarks than this stand in the table only


def cost(found: Findings, words: Words) -> list[Chart | Missing]:
    """The figures of the section Cost."""
    ledger = [*ledger_charts(found, words), *relearning_charts(found, words)]
    charts = [_forgetting(found, words), *ledger, _frontier(found, words), *frontier_charts(found, words)]
    rest = [_rates(found, words), _seconds(found, words)]
    return [chart for chart in (*charts, *rest) if chart is not None]


def _forgetting(found: Findings, words: Words) -> Chart | Missing:
    if found.benchmarks.empty:
        return _missing("forgetting", found, words)
    tasks = list(found.benchmarks["dataset"].unique())
    panels = [_change_panel(found, words, words("all_benchmarks"), found.kept)]
    for task in tasks if 1 < len(tasks) <= PANELS else []:
        own = {arm.name: found.kept_by.get((arm.name, task), UNKNOWN) for arm in found.arms}
        panels.append(_change_panel(found, words, task, own))
    whole = max(found.kept.values(), key=lambda change: change.n)
    rows = pd.DataFrame({"dataset": tasks, "n": whole.n, "n_clusters": whole.n_clusters})
    return Chart(
        name="forgetting",
        title=_forgetting_title(found, words),
        subtitle=subtitle(found, words, "forgetting", rows),
        note=words("chart.forgetting.note"),
        panels=tuple(panels),
        table=_forgetting_table(found, words, tasks),
    )


def _forgetting_title(found: Findings, words: Words) -> str:
    worst = found.worst()
    if worst is None:
        return words("chart.forgetting.plain")
    if found.shown_kept[worst.name] < 0:
        return words("chart.forgetting.lost", arm=worst.label, change=points(found.kept[worst.name], words))
    single = [task for arm in found.arms for task in found.lost_on[arm.name]]
    if single:
        return words("chart.forgetting.single", tasks=words.listed(dict.fromkeys(single)))
    shaken = [task for tasks in found.less_sure_on.values() for task in tasks]
    if shaken:
        return words("chart.forgetting.less_sure", tasks=words.listed(dict.fromkeys(shaken)))
    if all(found.unharmed.get(name) for name in found.kept):
        return words("chart.forgetting.unharmed", margin=number(found.margin, "size"))
    return words("chart.forgetting.none", mde=detectable(found.kept.values()))


def _change_panel(found: Findings, words: Words, title: str, changes: Mapping[str, Change]) -> Panel:
    rows = {name: change_dot(change) for name, change in changes.items() if isfinite(change.estimate.value)}
    return dots(title, found.arms, rows, "points", words, 0.0)


def _forgetting_table(found: Findings, words: Words, tasks: list[str]) -> Table:
    columns = (
        Column(key="benchmark", title=words("col.benchmark"), numeric=False),
        Column(key="arm", title=words("col.arm"), numeric=False),
        Column(key="before", title=words("col.before")),
        Column(key="after", title=words("col.after")),
        Column(key="change", title=words("col.change"), interval=True),
        Column(key="detectable", title=words("col.detectable")),
        Column(key="gained", title=words("col.gained")),
        Column(key="lost", title=words("col.lost")),
        Column(key="mcnemar_p", title=words("col.mcnemar")),
        Column(key="margin_change", title=words("col.margin"), interval=True),
        Column(key="seed_values", title=words("col.seed_values")),
        Column(key="n", title=words("col.items")),
    )
    marks = found.benchmarks
    rows = []
    for task in ["", *(tasks if len(tasks) > 1 else [])]:
        for arm in found.arms:
            own = marks[(marks["arm"] == arm.name) & ((marks["dataset"] == task) | (not task))]
            change = found.kept_by.get((arm.name, task), UNKNOWN) if task else found.kept[arm.name]
            if not own.empty:
                margin = _margin(found, arm, task or (tasks[0] if len(tasks) == 1 else "all"))
                rows.append(_forgetting_row(words, task, arm, own, change, margin))
    return Table(
        name="forgetting", caption=words("chart.forgetting.table"), columns=columns, rows=tuple(rows)
    )


def _forgetting_row(
    words: Words, task: str, arm: Arm, own: pd.DataFrame, change: Change, margin: Value
) -> tuple[cells.Cell, ...]:
    """Gains, losses and McNemar count each seed's flips; p is the largest over the seeds."""
    to, flips = words.interval_word(), own["after"] - own["before"]
    p = max(mcnemar(int((f > 0).sum()), int((f < 0).sum())).mid for _, f in flips.groupby(own["seed"]))
    return (
        cells.text(task or words("all_benchmarks")),
        cells.text(arm.label),
        cells.amount(float(own["before"].mean()), "share"),
        cells.amount(float(own["after"].mean()), "share"),
        cells.amount(change.estimate, "points", to=to, why=change.why),
        cells.amount(change.detectable, "size"),
        cells.amount(float((flips > 0).mean()), "share"),
        cells.amount(float((flips < 0).mean()), "share"),
        cells.printed(p_value(p), p),
        cells.amount(
            margin, "signed", to=to, why=words("why.pooled") if not task else words("why.undefined")
        ),
        cells.spread(change.per_seed, "points"),
        cells.count(change.n),
    )


def _margin(found: Findings, arm: Arm, task: str) -> Value:
    rows = found.rows("margin_change")
    rows = rows[(rows["arm"] == arm.name) & (rows["dataset"] == task)]
    if rows.empty:
        return Value(nan)
    return Value(*(float(rows[name].iloc[0]) for name in ("value", "ci_low", "ci_high")))


def _both(found: Findings) -> tuple[Arm, ...]:
    """Arms of which both learning and keeping are known."""
    return tuple(
        arm
        for arm in found.arms
        if isfinite(found.learned[arm.name].estimate.value) and isfinite(found.kept[arm.name].estimate.value)
    )


def _frontier(found: Findings, words: Words) -> Chart | Missing:
    arms = _both(found)
    if not arms:
        return _missing("frontier", found, words)
    free = [a for a in arms if found.shown_learned[a.name] > 0 and found.shown_kept[a.name] >= 0]
    learned = any(found.shown_learned[arm.name] > 0 for arm in arms)
    title = words("chart.frontier.none" if learned else "chart.frontier.unlearned")
    if free:
        mde = detectable(found.kept[arm.name] for arm in free)
        title = words("chart.frontier.free", names=words.listed(arm.label for arm in free), mde=mde)
    columns = (
        Column(key="arm", title=words("col.arm"), numeric=False),
        Column(key="learned", title=words("col.learned"), interval=True),
        Column(key="learned_seeds", title=words("col.seed_values")),
        Column(key="kept", title=words("col.kept"), interval=True),
        Column(key="kept_seeds", title=words("col.seed_values")),
    )
    to = words.interval_word()
    rows = tuple(
        (
            cells.text(arm.label),
            cells.amount(found.learned[arm.name].estimate, "points", to=to),
            cells.spread(found.learned[arm.name].per_seed, "points"),
            cells.amount(found.kept[arm.name].estimate, "points", to=to),
            cells.spread(found.kept[arm.name].per_seed, "points"),
        )
        for arm in arms
    )
    labels = (
        with_unit(words("axis.learned"), "points", words),
        with_unit(words("axis.kept"), "points", words),
    )
    return Chart(
        name="frontier",
        title=title,
        subtitle=words("chart.frontier.subtitle", seeds=seeds_phrase(found.material, words)),
        note=words("chart.frontier.note"),
        panels=(scatter(words("chart.frontier.plain"), arms, found.learned, found.kept, labels),),
        table=Table(name="frontier", caption=words("chart.frontier.plain"), columns=columns, rows=rows),
        legend=arms,
    )


def _rates(found: Findings, words: Words) -> Chart | None:
    """Only where arms differ in nothing but the learning rate."""
    if not found.growth:
        return None
    first = found.growth[0]
    shown = first.shown < 0
    title = (
        words("chart.rates.grows", list=growth_list(found, first, words))
        if shown
        else words("chart.rates.none", mde=detectable([first.contrast]))
    )
    columns = (
        Column(key="arm", title=words("col.arm"), numeric=False),
        Column(key="learning_rate", title=words("col.rate")),
        Column(key="kept", title=words("col.kept"), interval=True),
        Column(key="learned", title=words("col.learned"), interval=True),
    )
    to = words.interval_word()
    arms = tuple(arm for growth in found.growth for arm in growth.arms)
    rows = tuple(
        (
            cells.text(arm.label),
            cells.printed(rate(arm.learning_rate or nan), arm.learning_rate or nan),
            cells.amount(found.kept[arm.name].estimate, "points", to=to),
            cells.amount(found.learned[arm.name].estimate, "points", to=to),
        )
        for arm in arms
    )
    families = [growth.arms for growth in found.growth]
    return Chart(
        name="rates",
        title=title,
        subtitle=words("chart.rates.subtitle", seeds=seeds_phrase(found.material, words)),
        note=words("chart.rates.note"),
        panels=(
            rate_line(
                with_unit(words("axis.kept"), "points", words), families, found.kept, words("axis.rate")
            ),
        ),
        table=Table(name="rates", caption=words("chart.rates.plain"), columns=columns, rows=rows),
        legend=arms,
    )


def _seconds(found: Findings, words: Words) -> Chart | Missing:
    runs = [run for run in found.material.runs if run.seconds and run.arm in {a.name for a in found.arms}]
    if not runs:
        return Missing(name="seconds", title=words("chart.seconds.plain"), reason=words("absent.seconds"))
    activities = list(dict.fromkeys(name for run in runs for name in run.seconds))
    spent = {
        arm: {
            name: sum(run.seconds.get(name, 0.0) for run in runs if run.arm == arm.name) / len(arm.seeds)
            for name in activities
        }
        for arm in found.arms
    }
    split = {
        arm.name: (own.get("training", 0.0), sum(own.values()) - own.get("training", 0.0))
        for arm, own in spent.items()
    }
    share = sum(part[1] for part in split.values()) / max(1e-9, sum(sum(part) for part in split.values()))
    columns = (
        Column(key="arm", title=words("col.arm"), numeric=False),
        *(Column(key=name, title=words.activity(name)) for name in activities),
        Column(key="all", title=words("all")),
    )
    rows = tuple(
        (
            cells.text(arm.label),
            *(cells.printed(seconds(own[name]), own[name]) for name in activities),
            cells.printed(seconds(sum(own.values())), sum(own.values())),
        )
        for arm, own in spent.items()
    )
    return Chart(
        name="seconds",
        title=words("chart.seconds.share", share=number(share, "share", 0)),
        subtitle=words("chart.seconds.subtitle", seeds=seeds_phrase(found.material, words)),
        note=words("chart.seconds.note"),
        panels=(stacked(words("chart.seconds.plain"), found.arms, split, words("axis.seconds")),),
        table=Table(name="seconds", caption=words("chart.seconds.plain"), columns=columns, rows=rows),
    )


def _missing(name: str, found: Findings, words: Words) -> Missing:
    reason = absent(found.material, "forgetting" if found.benchmarks.empty else "task_alignment", words)
    return Missing(name=name, title=words(f"chart.{name}.plain"), reason=reason)
