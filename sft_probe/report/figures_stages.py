"""What each stage of an arm added, such as preference optimisation after SFT: paired changes over it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from math import isfinite
from typing import TYPE_CHECKING, NamedTuple

from sft_probe.report import cells
from sft_probe.report.cells import Column, Table
from sft_probe.report.charts import Chart
from sft_probe.report.findings import LIKELIHOOD, STRICT
from sft_probe.report.numbers import Kind, kind_of
from sft_probe.report.panels import change_dot, dots
from sft_probe.report.reasons import seeds_phrase
from sft_probe.report.summaries import Change, change

if TYPE_CHECKING:
    import pandas as pd

    from sft_probe.report.findings import Findings
    from sft_probe.report.material import Arm, Stage
    from sft_probe.report.words import Words

MEASURES = (
    ("task_alignment", STRICT),
    ("task_alignment", LIKELIHOOD),
    ("preference", "preference_accuracy"),
    ("preference", "chosen_logprob_change"),
    ("forgetting", "correct"),
)


class Added(NamedTuple):
    """The change of one measure over one stage of one arm."""

    metric: str
    arm: Arm
    stage: Stage
    change: Change

    @property
    def row(self) -> Arm:
        """The arm under the name of its stage, in its colour."""
        name = f"{self.arm.name}\n{self.stage.first}"
        return replace(self.arm, name=name, label=f"{self.arm.label}: {self.stage.name}")


def boundary_note(found: Findings, words: Words) -> str:
    """How to read the dotted lines, if an arm has stages."""
    return " " + words("chart.stages.boundary") if any(arm.stages for arm in found.arms) else ""


def stage_charts(found: Findings, words: Words) -> list[Chart]:
    """One figure, if an arm has several stages and something was measured at their ends."""
    added = list(_added(found))
    if not added:
        return []
    panels = []
    for metric in dict.fromkeys(one.metric for one in added):
        own = [one for one in added if one.metric == metric]
        rows = {one.row.name: change_dot(one.change) for one in own}
        panels.append(dots(_name(metric, words), [one.row for one in own], rows, _kind(metric), words, 0.0))
    return [
        Chart(
            name="stages",
            title=words("chart.stages.plain"),
            subtitle=words("chart.stages.subtitle", seeds=seeds_phrase(found.material, words)),
            note=words("chart.stages.note"),
            panels=tuple(panels),
            table=_table(added, words),
        )
    ]


def _added(found: Findings) -> Iterator[Added]:
    for probe, metric in MEASURES:
        own = found.material.items_of(probe, metric)
        if probe == "task_alignment":
            own = own[own["dataset"] == found.dataset]
        for arm in found.arms:
            for stage in arm.stages if len(arm.stages) > 1 else ():
                measured = change(_ends(own[own["arm"] == arm.name], stage))
                if isfinite(measured.estimate.value):
                    yield Added(metric, arm, stage, measured)


def _ends(rows: pd.DataFrame, stage: Stage) -> pd.DataFrame:
    """One row per seed and item seen at both ends of a stage: `before` and `after`."""
    keys = ["arm", "seed", "dataset", "item"]
    start = rows.loc[rows["step"] == stage.first, [*keys, "value"]].rename(columns={"value": "before"})
    end = rows[rows["step"] == stage.last].rename(columns={"value": "after"})
    return end.merge(start, on=keys)


def _name(metric: str, words: Words) -> str:
    return words("all_benchmarks") if metric == "correct" else words.metric(metric)


def _kind(metric: str) -> Kind:
    return "points" if metric == "correct" else kind_of(metric, change=True)


def _table(added: list[Added], words: Words) -> Table:
    columns = (
        Column(key="measure", title=words("col.measure"), numeric=False),
        Column(key="arm", title=words("col.arm"), numeric=False),
        Column(key="stage", title=words("col.stage"), numeric=False),
        Column(key="first", title=words("col.first_step")),
        Column(key="last", title=words("col.last_step")),
        Column(key="change", title=words("col.change"), interval=True),
        Column(key="seed_values", title=words("col.seed_values")),
        Column(key="n", title=words("col.items")),
    )
    rows = tuple(
        (
            cells.text(_name(one.metric, words)),
            cells.text(one.arm.label),
            cells.text(one.stage.name),
            cells.count(one.stage.first),
            cells.count(one.stage.last),
            cells.amount(one.change.estimate, _kind(one.metric), to=words.interval_word()),
            cells.spread(one.change.per_seed, _kind(one.metric)),
            cells.count(one.change.n),
        )
        for one in added
    )
    return Table(name="stages", caption=words("chart.stages.plain"), columns=columns, rows=rows)
