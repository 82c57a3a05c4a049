"""From tidy rows to numbers: what a reading says in every cell of its plant."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from math import nan
from typing import TYPE_CHECKING

import numpy as np

from sft_probe.calibration.kinds import DOSE

if TYPE_CHECKING:
    import pandas as pd

    from sft_probe.calibration.plants.base import Plant, Reading
    from sft_probe.stats.intervals import Floats


@dataclass(frozen=True, slots=True)
class Grid:
    """A number over all cells of a plant. doses, seeds: of rows and columns; NaN where a cell has none.

    values; lows, highs: its 95 % interval over items, NaN where it has none.
    """

    doses: tuple[float, ...]
    seeds: tuple[int, ...]
    values: Floats
    lows: Floats
    highs: Floats

    @property
    def known(self) -> Grid:
        """Without doses at which nothing was read."""
        kept = np.flatnonzero(~np.isnan(self.values).all(axis=1))
        doses = tuple(self.doses[at] for at in kept)
        return Grid(doses, self.seeds, self.values[kept], self.lows[kept], self.highs[kept])

    def recovered(self, reading: Reading) -> Grid:
        """The same in units of the dose. The reading must be able to recover it."""
        recover = reading.recover
        assert recover is not None
        back = np.vectorize(lambda value: nan if np.isnan(value) else recover(float(value)), otypes=[float])
        ends = np.sort(np.stack([back(self.lows), back(self.highs)]), axis=0)
        return Grid(self.doses, self.seeds, back(self.values), ends[0], ends[1])


def answering(rows: pd.DataFrame, reading: Reading, dose: float) -> pd.DataFrame:
    """The rows that a reading names at a dose."""
    stratum = reading.stratum.format(dose=f"{dose:g}")
    found = rows[
        (rows["probe"] == reading.probe)
        & (rows["metric"] == reading.metric)
        & (rows["stratum"] == stratum)
        & (rows["module"] == reading.module)
    ]
    if reading.dataset is not None:
        found = found[found["dataset"] == reading.dataset]
    return found if reading.layer is None else found[found["layer"] == reading.layer]


def grid(rows: pd.DataFrame, plant: Plant, reading: Reading, kind: str = DOSE) -> Grid:
    """One number over the cells of a kind. rows: as of `cells.rows`."""
    own = rows[(rows["plant"] == plant.name) & (rows["kind"] == kind)]
    seeds = tuple(sorted({int(seed) for seed in own["seed"]}))
    doses = tuple(dose for dose in plant.doses if (own["dose"] == dose).any())
    shape = (len(doses), len(seeds))
    values, lows, highs = (np.full(shape, nan) for _ in range(3))
    for at, dose in enumerate(doses):
        found = answering(own[own["dose"] == dose], reading, dose)
        for _, row in found.drop_duplicates("seed").iterrows():
            place = at, seeds.index(int(row["seed"]))
            values[place], lows[place], highs[place] = row["value"], row["ci_low"], row["ci_high"]
    return Grid(doses, seeds, values, lows, highs)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a number by which a probe is judged stands, in any data set.

    modules: the first that there is.  layer: None means the last that there is.
    """

    metric: str
    modules: tuple[str, ...] = ("", "all")
    layer: int | None = None


Places = Mapping[str, tuple[Place, ...]]


def judged_by(plants: Iterable[Plant], headlines: Mapping[str, tuple[str, ...]]) -> Places:
    """Numbers by which a probe is judged in cells of plants that it does not read: those that some plant
    reads of it, and its headlines. headlines: metrics of every probe, by its name.
    """
    found = {probe: [Place(metric) for metric in metrics] for probe, metrics in headlines.items()}
    for plant in plants:
        for reading in plant.readings:
            if not reading.stratum:
                found[reading.probe].append(Place(reading.metric, (reading.module,), reading.layer))
    return {probe: tuple(dict.fromkeys(places)) for probe, places in found.items()}


Number = tuple[str, str, str, int]  # metric, data set, module, layer


def numbers_of(rows: pd.DataFrame, places: Iterable[Place]) -> Iterator[tuple[Number, pd.DataFrame]]:
    """Each number by which a probe is judged, once, with its rows over cells. rows: of one probe."""
    done: set[Number] = set()
    whole = rows[rows["stratum"] == ""]
    for place in places:
        of_metric = whole[whole["metric"] == place.metric]
        for dataset, own in of_metric.groupby("dataset", sort=True):
            there = set(own["module"])
            module = next((name for name in place.modules if name in there), None)
            inside = own[own["module"] == module]
            layer = place.layer if place.layer is not None else inside["layer"].max()
            found = inside[inside["layer"] == layer]
            if len(found) and (key := (place.metric, str(dataset), str(module), int(layer))) not in done:
                done.add(key)
                yield key, found
