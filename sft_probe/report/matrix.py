"""Arms and probes at a glance: what each arm changed, measure by measure, and what of that is shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from sft_probe.report import cells
from sft_probe.report.cells import Column, Table
from sft_probe.report.differences import (
    TOGETHER,
    Difference,
    Place,
    Side,
    decided,
    differ,
    first_look,
    last_look,
    side,
)
from sft_probe.report.headlines import headlines
from sft_probe.report.numbers import DASH, interval, kind_of, number

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sft_probe.report.findings import Findings
    from sft_probe.report.material import Arm, Material
    from sft_probe.report.words import Words

Against = Literal["base", "reference"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One measure. differences: by arm, where both sides have a number."""

    place: Place
    differences: Mapping[str, Difference]


@dataclass(frozen=True, slots=True, kw_only=True)
class Matrix:
    """Rows of measures, columns of arms; all cells are one family of tests.

    against: what is subtracted.  certificates: a mark by probe, for what planted truth said of it.
    """

    against: Against
    arms: tuple[Arm, ...]
    rows: tuple[Row, ...]
    certificates: Mapping[str, str]


def matrices(found: Findings, certificates: Mapping[str, str] | None = None) -> tuple[Matrix, ...]:
    """Every arm against the base and, where there are several, against the reference.

    certificates: a short mark by probe; probes without one have none.
    """
    material = found.material
    if not material.arms:
        return ()
    ends = _sides(material, ended=True)
    places = _places(found, ends)
    marks = certificates or {}
    starts = _sides(material, ended=False)
    rows = _rows(places, {name: (starts[name], ends[name]) for name in ends})
    made = [Matrix(against="base", arms=material.arms, rows=rows, certificates=marks)]
    others = tuple(arm for arm in material.arms if arm.name != material.reference)
    if others:
        reference = ends[material.reference]
        rows = _rows(places, {arm.name: (reference, ends[arm.name]) for arm in others})
        made.append(Matrix(against="reference", arms=others, rows=rows, certificates=marks))
    return tuple(matrix for matrix in made if matrix.rows)


def matrix_table(matrix: Matrix, found: Findings, words: Words) -> Table:
    """One column per arm; a star stands where a difference is shown."""
    marked = any(matrix.certificates.get(row.place.probe) for row in matrix.rows)
    columns = (
        *(
            Column(key=key, title=words(f"col.{key}"), numeric=False)
            for key in ("probe", "measure", "dataset")
        ),
        *([Column(key="certificate", title=words("matrix.certificate"), numeric=False)] if marked else []),
        *(Column(key=arm.name, title=arm.label, interval=True) for arm in matrix.arms),
    )
    rows = tuple(
        (
            cells.text(words.probe(row.place.probe)),
            cells.text(words.metric(row.place.metric)),
            cells.text(words("all") if row.place.dataset == TOGETHER else row.place.dataset),
            *([cells.text(matrix.certificates.get(row.place.probe, ""))] if marked else []),
            *(_cell(row, arm, words) for arm in matrix.arms),
        )
        for row in matrix.rows
    )
    return Table(
        name="matrix" if matrix.against == "base" else "matrix_reference",
        caption=words(f"matrix.{matrix.against}", arm=found.label(found.material.reference)),
        columns=columns,
        rows=rows,
    )


def _cell(row: Row, arm: Arm, words: Words) -> cells.Cell:
    d = row.differences.get(arm.name)
    if d is None:
        return cells.Cell(text=DASH, value=float("nan"))
    kind, value = kind_of(row.place.metric, change=True), d.change.estimate
    star = {"higher": " ▲", "lower": " ▼"}.get(d.outcome, "")
    return cells.Cell(
        text=number(value.value, kind) + star,
        value=value.value,
        limits=interval(value, kind, words.interval_word()),
        why=d.why,
        low=value.low,
        high=value.high,
        tone={1: "good", -1: "bad"}.get(d.good, "moved" if star else ""),
    )


def _sides(material: Material, *, ended: bool) -> dict[str, Side]:
    """By arm, what was seen at the end or of its base."""
    look = last_look if ended else first_look
    measured, items = look(material.measurements), look(material.items)
    return {
        arm.name: side(
            measured[measured["arm"] == arm.name], items[items["arm"] == arm.name], exact=not ended
        )
        for arm in material.arms
    }


def _places(found: Findings, ends: Mapping[str, Side]) -> list[Place]:
    """Headline metrics over the pooled data sets, else over the task's test set, else over each first one."""
    told = headlines(found.material.probes, found.material.measurements)
    seen: dict[tuple[str, str], list[Place]] = {}
    for end in ends.values():
        for place in end.rows:
            group = seen.setdefault((place.probe, place.metric), [])
            if not place.stratum and place not in group:
                group.append(place)
    chosen = []
    for probe, metrics in told.items():
        for metric in metrics:
            group = seen.get((probe, metric), [])
            wanted = [p for p in group if p.dataset == TOGETHER] or [
                p for p in group if p.dataset == found.dataset
            ]
            chosen += (wanted or group)[:1]
    return chosen


def _rows(places: Sequence[Place], pairs: Mapping[str, tuple[Side, Side]]) -> tuple[Row, ...]:
    """The differences of every pair of sides, decided together."""
    asked = [
        (place, arm, a, b)
        for place in places
        for arm, (a, b) in pairs.items()
        if place in a.rows and place in b.rows
    ]
    made = decided([differ(place, a, b) for place, _, a, b in asked])
    cells_of: dict[Place, dict[str, Difference]] = {}
    for (place, arm, _, _), difference in zip(asked, made, strict=True):
        cells_of.setdefault(place, {})[arm] = difference
    return tuple(
        Row(place=place, differences=own)
        for place, own in cells_of.items()
        if any(d.change.estimate.value == d.change.estimate.value for d in own.values())
    )
