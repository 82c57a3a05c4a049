"""Numbers out of a store's table, one per seed: what the rules of an analysis are held against."""

from __future__ import annotations

import pandas as pd

PLACE = {"stratum": "", "module": "", "layer": -1}


def course(rows: pd.DataFrame, arm: str, probe: str, metric: str, **place: str | int | None) -> pd.DataFrame:
    """A number over the steps of an arm: steps down, ascending, seeds across.

    rows: as of `RunStore.measurements`.  place: dataset, stratum, module, layer of the row; stratum and
    module are empty and the layer is none if not given, and any data set will do.
    Raises: LookupError if no row answers, ValueError if several of one seed and step do.
    """
    found = rows[(rows["arm"] == arm) & (rows["probe"] == probe) & (rows["metric"] == metric)]
    for column, value in (PLACE | place).items():
        found = found[found[column] == value]
    if found.empty:
        raise LookupError(f"no row of arm '{arm}' has {probe}/{metric} at {place or 'no special place'}")
    return found.pivot(index="step", columns="seed", values="value").sort_index()


def at_end(rows: pd.DataFrame, arm: str, probe: str, metric: str, **place: str | int | None) -> pd.Series:
    """The number at the last look, by seed. Arguments and errors as of `course`."""
    return course(rows, arm, probe, metric, **place).iloc[-1]


def slope(by_dose: dict[float, pd.Series]) -> pd.Series:
    """Slope of the least-squares line through a number over its doses, by seed; NaN where one is missing."""
    frame = pd.DataFrame(by_dose)
    doses = pd.Series(frame.columns, index=frame.columns, dtype=float)
    centred = doses - doses.mean()
    return frame.mul(centred, axis=1).sum(axis=1, skipna=False) / (centred**2).sum()
