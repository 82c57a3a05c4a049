"""How fast each kind of fact is fitted: answers over steps by what the base knew, one panel per arm."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from sft_probe.measures.knowledge import CATEGORIES, first_reached
from sft_probe.report import cells
from sft_probe.report.cells import Column, Table
from sft_probe.report.charts import (
    INK,
    MARKERS,
    Chart,
    Missing,
    Panel,
    colour,
    in_percent,
    null_line,
    step_axis,
)
from sft_probe.report.numbers import number
from sft_probe.report.reasons import seeds_phrase

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from sft_probe.report.findings import Findings
    from sft_probe.report.material import Arm
    from sft_probe.report.words import Words

NAME, PROBE, METRIC, TRAIN = "fitting", "knowledge_categories", "answered_accuracy", "train"
FITTED = 0.9
PANELS = 6
HIGHLY, UNKNOWN = CATEGORIES[0], CATEGORIES[-1]


class Course(NamedTuple):
    """Answers to one kind of fact in one arm, mean over seeds. fitted: the step at 90 %, seed by seed."""

    steps: np.ndarray
    values: np.ndarray
    facts: int
    fitted: tuple[float, ...]


def fitting_charts(found: Findings, words: Words) -> list[Chart | Missing]:
    """The figure; nothing where the probe was not asked for or looked at the ends only."""
    rows = found.material.measurements
    rows = rows[(rows["probe"] == PROBE) & (rows["metric"] == METRIC) & (rows["dataset"] == TRAIN)]
    rows = rows[rows["stratum"].isin(CATEGORIES) & rows["value"].notna()]
    if rows["step"].nunique() < 3:
        return []
    courses = {arm.name: _courses(rows[rows["arm"] == arm.name]) for arm in found.arms}
    shown = [arm for arm in found.arms if courses[arm.name]]
    return [
        Chart(
            name=NAME,
            title=_title(courses[found.material.reference], words),
            subtitle=words("chart.fitting.subtitle", seeds=seeds_phrase(found.material, words)),
            note=words("chart.fitting.note"),
            panels=tuple(_panel(arm, courses[arm.name], words) for arm in shown[:PANELS]),
            table=_table(shown, courses, words),
        )
    ]


def _courses(rows: pd.DataFrame) -> dict[str, Course]:
    made: dict[str, Course] = {}
    for kind in CATEGORIES:
        own = rows[rows["stratum"] == kind].sort_values("step")
        if own.empty:
            continue
        mean = own.groupby("step")["value"].mean()
        per_seed = (
            first_reached(seed["step"].to_numpy(float), seed["value"].to_numpy(float), FITTED)
            for _, seed in own.groupby("seed")
        )
        made[kind] = Course(
            mean.index.to_numpy(float), mean.to_numpy(float), int(own["n"].max()), tuple(per_seed)
        )
    return made


def _title(courses: dict[str, Course], words: Words) -> str:
    """The ratio of both times, if every seed has fitted both kinds."""
    known, unknown = (courses[kind].fitted if kind in courses else () for kind in (HIGHLY, UNKNOWN))
    if not known or not all(map(isfinite, (*known, *unknown))) or not unknown or min(known) <= 0:
        return words("chart.fitting.plain")
    ratios = [late / early for early, late in zip(known, unknown, strict=True)]
    return words(
        "chart.fitting.ratio",
        ratio=number(float(np.mean(ratios)), digits=1),
        low=number(min(ratios), digits=1),
        high=number(max(ratios), digits=1),
    )


def _panel(arm: Arm, courses: dict[str, Course], words: Words) -> Panel:
    def draw(axes: Axes) -> None:
        null_line(axes, FITTED)
        for place, (kind, course) in enumerate(courses.items()):
            axes.plot(
                course.steps,
                course.values,
                color=colour(arm),
                marker=MARKERS[CATEGORIES.index(kind)],
                markersize=4,
                alpha=1 - 0.22 * place,
            )
            axes.annotate(
                words(f"chart.fitting.kind.{kind}"),
                (course.steps[-1], course.values[-1]),
                xytext=(-4, 5),
                textcoords="offset points",
                ha="right",
                fontsize=7.5,
                color=INK,
            )
        steps = sorted({int(step) for course in courses.values() for step in course.steps})
        step_axis(axes, steps, words("axis.step"))
        in_percent(axes, vertical=True)

    said = "; ".join(
        f"{words(f'chart.fitting.kind.{kind}')} {number(float(course.values[-1]), 'share')}"
        for kind, course in courses.items()
    )
    return Panel(title=arm.label, draw=draw, alt=f"{arm.label}: {said}.")


def _table(arms: list[Arm], courses: dict[str, dict[str, Course]], words: Words) -> Table:
    columns = (
        Column(key="arm", title=words("col.arm"), numeric=False),
        Column(key="category", title=words("col.category"), numeric=False),
        Column(key="step_at_90", title=words("col.fitted")),
        Column(key="end", title=words("col.after")),
        Column(key="seed_values", title=words("col.seed_values")),
        Column(key="n", title=words("col.items")),
    )
    rows = tuple(
        (
            cells.text(arm.label),
            cells.text(words(f"chart.fitting.kind.{kind}")),
            cells.amount(float(np.mean(course.fitted)), why=words("chart.fitting.never")),
            cells.amount(float(course.values[-1]), "share"),
            cells.spread(course.fitted),
            cells.count(course.facts),
        )
        for arm in arms
        for kind, course in courses[arm.name].items()
    )
    return Table(name=NAME, caption=words("chart.fitting.plain"), columns=columns, rows=rows)
