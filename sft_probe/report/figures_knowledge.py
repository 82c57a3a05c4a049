"""How fast each kind of fact is fitted: answers over steps by what the base knew, one panel per arm."""

from __future__ import annotations

from math import isfinite, nan
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
    from collections.abc import Mapping

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
    """Answers to one kind of fact in one arm, mean over seeds. fitted: the step at 90 %, seed by seed.
    epochs: the same in passes over the training rows; NaN where the trainer did not say."""

    steps: np.ndarray
    values: np.ndarray
    facts: int
    fitted: tuple[float, ...]
    epochs: tuple[float, ...]


def fitting_charts(found: Findings, words: Words) -> list[Chart | Missing]:
    """The figure; nothing where the probe was not asked for or looked at the ends only."""
    rows = found.material.measurements
    rows = rows[(rows["probe"] == PROBE) & (rows["metric"] == METRIC) & (rows["dataset"] == TRAIN)]
    rows = rows[rows["stratum"].isin(CATEGORIES) & rows["value"].notna()]
    if rows["step"].nunique() < 3:
        return []
    pace = _epochs_per_step(found.material.train_log)
    courses = {arm.name: _courses(rows[rows["arm"] == arm.name], pace) for arm in found.arms}
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


def _epochs_per_step(log: pd.DataFrame) -> dict[str, float]:
    """Passes over the training rows in one step, by run, as the trainer counted them at its last line."""
    last = log[(log["metric"] == "epoch") & (log["step"] > 0)].sort_values("step").groupby("run").tail(1)
    return dict(zip(last["run"], last["value"] / last["step"], strict=True))


def _courses(rows: pd.DataFrame, pace: Mapping[str, float]) -> dict[str, Course]:
    """By kind. pace: epochs per step by run."""
    made: dict[str, Course] = {}
    for kind in CATEGORIES:
        own = rows[rows["stratum"] == kind].sort_values("step")
        if own.empty:
            continue
        mean = own.groupby("step")["value"].mean()
        runs = [run for _, run in own.groupby("seed")]
        fitted = [first_reached(r["step"].to_numpy(float), r["value"].to_numpy(float), FITTED) for r in runs]
        epochs = [step * pace.get(r["run"].iloc[0], nan) for step, r in zip(fitted, runs, strict=True)]
        made[kind] = Course(
            steps=mean.index.to_numpy(float),
            values=mean.to_numpy(float),
            facts=int(own["n"].max()),
            fitted=tuple(fitted),
            epochs=tuple(epochs),
        )
    return made


def _title(courses: dict[str, Course], words: Words) -> str:
    """The ratio of both times, if every seed has fitted both kinds."""
    known, unknown = (courses[kind].fitted if kind in courses else () for kind in (HIGHLY, UNKNOWN))
    if not known or not all(map(isfinite, (*known, *unknown))) or not unknown or min(known) <= 0:
        return words("chart.fitting.plain")
    ratios = [late / early for early, late in zip(known, unknown, strict=True)]
    said = words(
        "chart.fitting.ratio",
        ratio=number(float(np.mean(ratios)), digits=1),
        low=number(min(ratios), digits=1),
        high=number(max(ratios), digits=1),
    )
    early, late = (float(np.mean(courses[kind].epochs)) for kind in (HIGHLY, UNKNOWN))
    if not isfinite(early):
        return said
    epochs = words("chart.fitting.epochs", early=number(early, digits=1), late=number(late, digits=1))
    return f"{said} {epochs}"


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
        for names, end in _ends(courses, words):
            axes.annotate(
                names, end, xytext=(-4, 5), textcoords="offset points", ha="right", fontsize=7.5, color=INK
            )
        steps = sorted({int(step) for course in courses.values() for step in course.steps})
        step_axis(axes, steps, words("axis.step"))
        in_percent(axes, vertical=True)

    said = "; ".join(
        f"{words(f'chart.fitting.kind.{kind}')} {number(float(course.values[-1]), 'share')}"
        for kind, course in courses.items()
    )
    return Panel(title=arm.label, draw=draw, alt=f"{arm.label}: {said}.")


def _ends(courses: dict[str, Course], words: Words) -> list[tuple[str, tuple[float, float]]]:
    """Names where curves end; those that end within five points share a line of text."""
    groups: dict[int, list[str]] = {}
    for kind, course in courses.items():
        groups.setdefault(round(20 * float(course.values[-1])), []).append(kind)
    return [
        (
            ", ".join(words(f"chart.fitting.kind.{kind}") for kind in kinds),
            (float(courses[kinds[0]].steps[-1]), float(courses[kinds[0]].values[-1])),
        )
        for kinds in groups.values()
    ]


def _table(arms: list[Arm], courses: dict[str, dict[str, Course]], words: Words) -> Table:
    columns = (
        Column(key="arm", title=words("col.arm"), numeric=False),
        Column(key="category", title=words("col.category"), numeric=False),
        Column(key="step_at_90", title=words("col.fitted")),
        Column(key="epoch_at_90", title=words("col.fitted_epochs")),
        Column(key="end", title=words("col.after")),
        Column(key="seed_values", title=words("col.seed_values")),
        Column(key="n", title=words("col.items")),
    )
    rows = tuple(
        (
            cells.text(arm.label),
            cells.text(words(f"chart.fitting.kind.{kind}")),
            cells.amount(float(np.mean(course.fitted)), why=words("chart.fitting.never")),
            cells.amount(float(np.mean(course.epochs)), why=_no_epochs(course, words)),
            cells.amount(float(course.values[-1]), "share"),
            cells.spread(course.fitted),
            cells.count(course.facts),
        )
        for arm in arms
        for kind, course in courses[arm.name].items()
    )
    return Table(name=NAME, caption=words("chart.fitting.plain"), columns=columns, rows=rows)


def _no_epochs(course: Course, words: Words) -> str:
    """Why a kind has no epoch at 90 %."""
    reached = all(map(isfinite, course.fitted))
    return words("chart.fitting.uncounted" if reached else "chart.fitting.never")
