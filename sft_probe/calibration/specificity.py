"""What else moves when one effect is planted: planted effects by probes, at the middle dose. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import inf, isfinite, nan, sqrt
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import stdtr

from sft_probe.calibration.cells import Panel
from sft_probe.calibration.certificate import Reaction
from sft_probe.calibration.kinds import DOSE, middle
from sft_probe.calibration.readings import Place, Places, grid, numbers_of
from sft_probe.stats.intervals import Floats, student_t

if TYPE_CHECKING:
    import pandas as pd

    from sft_probe.calibration.plants.base import Plant

FALSE_SHARE = 0.05  # of the reactions beside the diagonal that are called real
BESIDE: tuple[dict[str, Any], ...] = (
    {"name": "task_alignment", "options": {"max_new_tokens": 8, "limit": 30}},
    {"name": "weight_change"},
    {"name": "representation_drift"},
    {"name": "token_shift", "options": {"limit": 20, "max_new_tokens": 8}},
)
"""Probes that no plant is read by, or that do not depend on what is planted."""


@dataclass(frozen=True)
class Shift:
    """How far one number of a probe moved from the null dose to the middle dose.

    z: in standard deviations between runs of one dose.  t: the same against the error of the difference.
    """

    name: str
    place: str
    z: float
    t: float
    df: int
    error: float

    @property
    def p(self) -> float:
        """Two-sided."""
        return float(2 * stdtr(self.df, -abs(self.t))) if isfinite(self.t) else 0.0


def panel(plants: Iterable[Plant]) -> Panel:
    """The probes of all plants, each with the options of the first plant that names it, and some more."""
    probes: dict[str, dict[str, Any]] = {}
    others: dict[str, str] = {}
    for plant in plants:
        study = plant.sown(plant.doses[0], 0)
        for given in study["probes"]:
            probe = _whole(given)
            probes.setdefault(probe["name"], probe)
        others |= {**study["data"].get("others", {}), **others}
    for probe in BESIDE:
        probes.setdefault(probe["name"], probe)
    return Panel(tuple(probes.values()), others)


def reactions(rows: pd.DataFrame, plants: Iterable[Plant], places: Places) -> tuple[Reaction, ...]:
    """The matrix: every plant by every probe that its cells were looked at with.

    places: of the numbers by which a probe is judged in cells of plants that it does not read.
    A cell is its number that moved most. Inside is decided for all cells beside the diagonal together, such
    that of those called outside one in twenty is so by chance.
    Source: Benjamini & Hochberg 1995; within a cell, Bonferroni over its numbers.
    """
    found = [cell for plant in plants for cell in _of_plant(rows, plant, places)]
    beside = sorted(_p(shifts) for _, shifts, target in found if shifts and not target)
    passed = [p for at, p in enumerate(beside, 1) if p <= FALSE_SHARE * at / len(beside)]
    level = max(passed) if passed else FALSE_SHARE / max(1, len(beside))
    return tuple(_judged(cell, shifts, FALSE_SHARE if target else level) for cell, shifts, target in found)


def _of_plant(
    rows: pd.DataFrame, plant: Plant, places: Places
) -> Iterator[tuple[Reaction, list[Shift], bool]]:
    ends = plant.doses[0], middle(plant.doses)
    own = rows[(rows["plant"] == plant.name) & (rows["kind"] == DOSE) & rows["dose"].isin(ends)]
    readers = {reading.probe for reading in plant.readings}
    for probe in sorted(set(own["probe"]) & set(places)):
        target = probe in readers
        shifts = (
            _read(rows, plant, probe, ends)
            if target
            else list(_beside(own[own["probe"] == probe], places[probe], ends))
        )
        cell = Reaction(
            plant=plant.name,
            probe=probe,
            metric="",
            dose=ends[1],
            z=None,
            limit=None,
            inside=None,
            target=target,
            explained="" if target else plant.expected.get(probe, ""),
            n=len(shifts),
            why="" if shifts else "no number of this probe is defined in two runs at both doses",
        )
        yield cell, shifts, target


def _read(rows: pd.DataFrame, plant: Plant, probe: str, ends: tuple[float, float]) -> list[Shift]:
    """How the readings of a plant's own probe moved."""
    found = []
    for reading in plant.readings:
        if reading.probe == probe:
            seen = grid(rows, plant, reading)
            at = [seen.doses.index(dose) for dose in ends if dose in seen.doses]
            if len(at) == 2:
                name = reading.metric, _words(reading.dataset or "", reading.module, reading.layer or -1)
                found.append(shift(*name, seen.values[at[0]], seen.values[at[1]], nan))
    return [moved for moved in found if moved]


def _beside(own: pd.DataFrame, places: tuple[Place, ...], ends: tuple[float, float]) -> Iterator[Shift]:
    """How the numbers moved by which another probe is judged."""
    for (metric, dataset, module, layer), number in numbers_of(own, places):
        null, dosed = (number[number["dose"] == dose]["value"].to_numpy(float) for dose in ends)
        error = float(np.sqrt(np.nanmean(number["se"] ** 2))) if number["se"].notna().any() else nan
        if moved := shift(metric, _words(dataset, module, layer), null, dosed, error):
            yield moved


def shift(name: str, place: str, null: Floats, dosed: Floats, error: float) -> Shift | None:
    """One number over runs at two doses. error: over items, below which its spread cannot be known to lie.

    The spread is pooled over both doses. None below two runs at either.
    """
    null, dosed = null[~np.isnan(null)], dosed[~np.isnan(dosed)]
    if min(null.size, dosed.size) < 2:
        return None
    df = null.size + dosed.size - 2
    squares = ((null - null.mean()) ** 2).sum() + ((dosed - dosed.mean()) ** 2).sum()
    spread = max(sqrt(float(squares) / df), 0.0 if np.isnan(error) else error)
    apart, width = float(dosed.mean() - null.mean()), sqrt(1 / null.size + 1 / dosed.size)
    if abs(apart) <= 1e-12:
        return Shift(name, place, 0.0, 0.0, df, width)
    z = apart / spread if spread > 0 else inf * np.sign(apart)
    return Shift(name, place, z, z / width, df, width)


def _judged(cell: Reaction, shifts: list[Shift], level: float) -> Reaction:
    if not shifts:
        return cell
    most = min(shifts, key=lambda moved: (moved.p, -abs(moved.z)))
    limit = student_t(1 - level / len(shifts), most.df) * most.error
    return cell.model_copy(
        update={
            "metric": most.name,
            "place": most.place,
            "z": most.z if isfinite(most.z) else None,
            "limit": limit,
            "inside": _p(shifts) > level,
            "why": "" if isfinite(most.z) else "runs of one dose do not differ at all, so there is no unit",
        }
    )


def _p(shifts: list[Shift]) -> float:
    return min(1.0, len(shifts) * min(moved.p for moved in shifts))


def _words(dataset: str, module: str, layer: int) -> str:
    parts = [dataset, module, f"layer {layer}" if layer >= 0 else ""]
    return ", ".join(part for part in parts if part)


def _whole(probe: Any) -> dict[str, Any]:
    if isinstance(probe, str):
        return {"name": probe}
    if "name" in probe:
        return dict(probe)
    [(name, options)] = probe.items()
    return {"name": name, "options": options or {}}
