"""False alarms: how often probes find something in cells that have nothing to find. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from sft_probe.calibration.certificate import Null, NullKind
from sft_probe.calibration.kinds import BF16, DOSE, NUMERICS, PERMUTED, RANDOM, SAME, SHAM
from sft_probe.calibration.readings import Places, grid, numbers_of
from sft_probe.calibration.response import clopper_pearson, null_band
from sft_probe.stats.seeds import over_seeds

if TYPE_CHECKING:
    import pandas as pd

    from sft_probe.calibration.plants.base import Plant, Reading
    from sft_probe.stats.intervals import Floats

ENOUGH_RUNS = 3
Level = Literal["item", "run"]
FLOOR = 1e-3
"""A number that lies nearer to the base's own than this, or than this share of it, has not moved."""
UNTOUCHED: Mapping[str, NullKind] = {SAME: "same_weights", NUMERICS: "numerics", BF16: "numerics"}
MOVED: Mapping[str, NullKind] = {SHAM: "sham", RANDOM: "random_change"}


class Test(NamedTuple):
    """One test of a true null."""

    probe: str
    kind: NullKind
    level: Level
    rejected: bool


def nulls(rows: pd.DataFrame, plants: Iterable[Plant], places: Places) -> tuple[Null, ...]:
    """How often each probe found something where there was nothing, by kind of null.

    same_weights, numerics (item): a number counts as found where its interval leaves out the base's own
    value, or, where it has none, where it differs from it; differences below `FLOOR` are none. One test per
    number of a run.
    dose_0 (item): the interval of one run, in units of the dose, leaves out the null dose; an estimate that
    cannot lie below the null dose, and so is always above it, counts as found where the whole interval is
    nearer to the lowest planted dose.
    dose_0 (run): so does the t interval over all runs at the null dose, of which there must be three.
    other_seed (run): a run at the null dose lies outside the 95 % t interval that the others predict for it.
    permuted_labels (run): so does a run on dealt-out answers.
    sham, random_change (run): a reading moved from the base's in the direction of the plant further than half
    the width of that interval, which is further than seeds at the null dose move it.
    places: of the numbers by which a probe is judged in cells of plants that it does not read.
    """
    outcomes: dict[tuple[str, NullKind, Level], list[bool]] = {}
    for test in _tests(rows, tuple(plants), places):
        outcomes.setdefault(test[:3], []).append(test.rejected)
    return tuple(_null(*key, outcomes[key]) for key in sorted(outcomes))


def _null(probe: str, kind: NullKind, level: Level, outcomes: list[bool]) -> Null:
    found = clopper_pearson(sum(outcomes), len(outcomes))
    return Null(
        probe=probe,
        kind=kind,
        level=level,
        n=len(outcomes),
        rejected=sum(outcomes),
        rate=found.value,
        low=found.low,
        high=found.high,
        why=found.why,
    )


def _tests(rows: pd.DataFrame, plants: tuple[Plant, ...], places: Places) -> Iterator[Test]:
    yield from _untouched(rows)
    for plant in plants:
        yield from _beside(rows, plant, places)
        for reading in plant.readings:
            yield from _at_the_null_dose(rows, plant, reading)
            yield from _elsewhere(rows, plant, reading)


def _untouched(rows: pd.DataFrame) -> Iterator[Test]:
    own = rows[rows["kind"].isin(UNTOUCHED) & rows["value"].notna() & rows["base"].notna()]
    apart = (own["value"] - own["base"]).abs()
    moved = apart > FLOOR * own["base"].abs().clip(lower=1)
    holds = (own["ci_low"] <= own["base"]) & (own["base"] <= own["ci_high"])
    for probe, kind, rejected in zip(own["probe"], own["kind"], moved & ~holds, strict=True):
        yield Test(str(probe), UNTOUCHED[kind], "item", bool(rejected))


def _at_the_null_dose(rows: pd.DataFrame, plant: Plant, reading: Reading) -> Iterator[Test]:
    """Runs in which nothing was planted, by their own intervals and by those of the others."""
    seen = grid(rows, plant, reading)
    if plant.doses[0] not in seen.doses:
        return
    if reading.recover:
        back = seen.recovered(reading)
        nothing = plant.doses[0], sum(plant.doses[:2]) / 2 if reading.edge else plant.doses[0]
        limits = np.stack([back.lows[0], back.highs[0]], axis=1)
        for low, high in limits[~np.isnan(limits).any(axis=1)]:
            yield Test(reading.probe, "dose_0", "item", not _meets(low, high, nothing))
        whole = over_seeds(back.values[0])
        if whole.n >= ENOUGH_RUNS and not np.isnan(whole.low):
            yield Test(reading.probe, "dose_0", "run", not _meets(whole.low, whole.high, nothing))
    for rejected in _left_out(seen.values[0]):
        yield Test(reading.probe, "other_seed", "run", rejected)


def _meets(low: float, high: float, nothing: tuple[float, float]) -> bool:
    """Whether an interval holds any dose that stands for nothing planted. nothing: from, to."""
    return low <= nothing[1] and high >= nothing[0]


def _beside(rows: pd.DataFrame, plant: Plant, places: Places) -> Iterator[Test]:
    """Runs at the null dose, seen by the probes that do not read the plant."""
    readers = {reading.probe for reading in plant.readings}
    own = rows[(rows["plant"] == plant.name) & (rows["kind"] == DOSE) & (rows["dose"] == plant.doses[0])]
    for probe in sorted(set(own["probe"]) & set(places) - readers):
        for _, number in numbers_of(own[own["probe"] == probe], places[probe]):
            for rejected in _left_out(number["value"].to_numpy(float)):
                yield Test(probe, "other_seed", "run", rejected)


def _left_out(values: Floats) -> Iterator[bool]:
    """Whether each run lies outside what the others predict. values: (seeds,)."""
    values = values[~np.isnan(values)]
    for at, value in enumerate(values):
        low, high = null_band(np.delete(values, at))
        if not np.isnan(low):
            yield not low - 1e-12 <= value <= high + 1e-12


def _elsewhere(rows: pd.DataFrame, plant: Plant, reading: Reading) -> Iterator[Test]:
    """Runs of other kinds, against how far seeds at the null dose are apart."""
    seen = grid(rows, plant, reading)
    if plant.doses[0] not in seen.doses:
        return
    low, high = null_band(seen.values[0])
    if np.isnan(low):
        return
    dealt = grid(rows, plant, reading, PERMUTED).values.ravel()
    for value in dealt[~np.isnan(dealt)]:
        yield Test(reading.probe, "permuted_labels", "run", not low <= value <= high)
    for kind, name in MOVED.items():
        for moved in _moved(rows, plant, reading, kind):
            yield Test(reading.probe, name, "run", bool(reading.sign * moved > (high - low) / 2 + FLOOR))


def _moved(rows: pd.DataFrame, plant: Plant, reading: Reading, kind: str) -> Floats:
    """How far a reading lies from the base's own, in the cells of a null."""
    own = rows[(rows["plant"] == plant.name) & (rows["kind"] == kind)]
    after = grid(own, plant, reading, kind).values.ravel()
    before = grid(own.assign(value=own["base"]), plant, reading, kind).values.ravel()
    apart: Floats = after - before
    return apart[~np.isnan(apart)]
