"""A few steps of training on a copy: does what was lost come back sooner than something new is learned?"""

from __future__ import annotations

from math import isfinite, nan
from typing import TYPE_CHECKING

from sft_probe.report import cells
from sft_probe.report.cells import Column, Table
from sft_probe.report.charts import QUIET, Chart, Missing, Panel, colour, in_percent, step_axis
from sft_probe.report.numbers import Value, number
from sft_probe.report.reasons import absent, seeds_phrase
from sft_probe.report.summaries import at_end, records

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from sft_probe.report.findings import Findings
    from sft_probe.report.material import Arm
    from sft_probe.report.words import Words

PROBE = "relearning"
GROUPS = {  # stratum: key, line style
    "lost, practised": ("lost_practised", "-"),
    "lost, held out": ("lost_held_out", "--"),
    "never known, practised": ("never_practised", "-"),
    "never known, held out": ("never_held_out", "--"),
}
PANELS = 8


def relearning_charts(found: Findings, words: Words) -> list[Chart | Missing]:
    """The figure; nothing where the study did not ask for it."""
    if PROBE not in found.material.probes:
        return []
    rows = at_end(found.summary[found.summary["probe"] == PROBE])
    rows = rows[rows["metric"] == "relearned_share"]
    rows = rows[rows["value"].notna() & rows["module"].str.startswith("step ")]
    if rows.empty:
        reason = absent(found.material, PROBE, words)
        return [Missing(name=PROBE, title=words("chart.relearning.plain"), reason=reason)]
    rows = rows.assign(after=rows["module"].str.removeprefix("step ").astype(int)).sort_values("after")
    shown = [arm for arm in found.arms if arm.name in set(rows["arm"])]
    return [
        Chart(
            name=PROBE,
            title=_title(found, shown, rows, words),
            subtitle=words("chart.relearning.subtitle", seeds=seeds_phrase(found.material, words)),
            note=words("chart.relearning.note"),
            panels=tuple(_panel(arm, rows[rows["arm"] == arm.name], words) for arm in shown[:PANELS]),
            table=_table(found, shown, rows, words),
        )
    ]


def _title(found: Findings, arms: list[Arm], rows: pd.DataFrame, words: Words) -> str:
    """The arm whose unpractised lost documents came back most beyond never-known ones, if that is shown."""
    shown = [
        (arm, value) for arm in arms if (value := _single(found, arm, "relearned_beyond_chance")).low > 0
    ]
    if not shown:
        return _sooner(found, arms, rows, words) or words("chart.relearning.none")
    arm, value = max(shown, key=lambda entry: entry[1].value)
    return words("chart.relearning.back", arm=arm.label, share=number(value.value, "points", 0))


def _sooner(found: Findings, arms: list[Arm], rows: pd.DataFrame, words: Words) -> str:
    """The first arm whose practised lost documents are ahead of news at some look, their intervals apart."""
    for arm in arms:
        own = rows[rows["arm"] == arm.name].pivot_table(
            index="after", columns="stratum", values=["ci_low", "ci_high"]
        )
        try:
            ahead = own["ci_low", "lost, practised"] > own["ci_high", "never known, practised"]
        except KeyError:  # a group without documents
            continue
        revive, learn = (_single(found, arm, f"steps_to_{what}").value for what in ("revive", "learn"))
        if ahead.any() and isfinite(revive) and isfinite(learn):
            times = {"revive": number(revive, digits=1), "learn": number(learn, digits=1)}
            return words("chart.relearning.sooner", arm=arm.label, **times)
    return ""


def _panel(arm: Arm, rows: pd.DataFrame, words: Words) -> Panel:
    def draw(axes: Axes) -> None:
        for name, (key, style) in GROUPS.items():
            own = rows[rows["stratum"] == name]
            tint = colour(arm) if key.startswith("lost") else QUIET
            axes.plot(own["after"], own["value"], color=tint, linestyle=style, marker="o", markersize=3)
            if key.endswith("held_out"):
                axes.fill_between(
                    own["after"], own["ci_low"], own["ci_high"], color=tint, alpha=0.12, linewidth=0
                )
        step_axis(axes, [int(step) for step in rows["after"].unique()], words("axis.relearning"))
        axes.set_ylim(-0.03, 1.03)
        in_percent(axes, vertical=True)

    last = rows[rows["after"] == rows["after"].max()]
    said = "; ".join(f"{row['stratum']} {number(row['value'], 'share')}" for row in records(last))
    return Panel(title=f"{arm.label}, %", draw=draw, alt=f"{arm.label}: {said}.")


def _table(found: Findings, arms: list[Arm], rows: pd.DataFrame, words: Words) -> Table:
    columns = (
        Column(key="arm", title=words("col.arm"), numeric=False),
        *(
            Column(key=key, title=words(f"chart.relearning.{key}"), interval=True)
            for key, _ in GROUPS.values()
        ),
        *(
            Column(key=name, title=words.metric(name))
            for name in ("steps_to_revive", "steps_to_learn", "revive_ratio")
        ),
        Column(key="beyond", title=words.metric("relearned_beyond_chance"), interval=True),
    )
    to, why = words.interval_word(), words("why.undefined")

    def line(arm: Arm) -> tuple[cells.Cell, ...]:
        own = rows[(rows["arm"] == arm.name) & (rows["after"] == rows["after"].max())].set_index("stratum")
        ends = {name: _limits(own.loc[name]) if name in own.index else Value(nan) for name in GROUPS}
        times = [_single(found, arm, name) for name in ("steps_to_revive", "steps_to_learn", "revive_ratio")]
        return (
            cells.text(arm.label),
            *(cells.amount(value, "share", to=to, why=why) for value in ends.values()),
            *(cells.amount(value.value, why=why) for value in times),
            cells.amount(_single(found, arm, "relearned_beyond_chance"), "points", to=to, why=why),
        )

    return Table(
        name=PROBE,
        caption=words("chart.relearning.plain"),
        columns=columns,
        rows=tuple(line(arm) for arm in arms),
    )


def _single(found: Findings, arm: Arm, metric: str) -> Value:
    rows = at_end(found.summary[found.summary["probe"] == PROBE])
    own = rows[(rows["metric"] == metric) & (rows["arm"] == arm.name)]
    own = own[own["value"].notna()]
    return _limits(own.iloc[0]) if len(own) else Value(nan)


def _limits(row: pd.Series) -> Value:
    found = Value(*(float(row[name]) for name in ("value", "ci_low", "ci_high")))
    return found if isfinite(found.low) else Value(found.value)
