"""Dose-response of every reading, from the rows of cells. Pure: tables in, values out."""

from __future__ import annotations

from collections.abc import Iterable
from math import nan
from typing import TYPE_CHECKING

import numpy as np

from sft_probe.calibration.certificate import Recovery, Response
from sft_probe.calibration.kinds import middle
from sft_probe.calibration.readings import Grid, grid
from sft_probe.calibration.response import recovery, respond

if TYPE_CHECKING:
    import pandas as pd

    from sft_probe.calibration.plants.base import Plant, Reading
    from sft_probe.stats.intervals import Floats


def responses(rows: pd.DataFrame, plants: Iterable[Plant], *, seed: int = 0) -> tuple[Response, ...]:
    """What every number of every plant did. seed: of the permutations of trend tests."""
    rng = np.random.default_rng(seed)
    found = (
        _response(rows, plant, reading, rng, headline=reading is plant.readings[0])
        for plant in plants
        for reading in plant.readings
    )
    return tuple(response for response in found if response)


def _response(
    rows: pd.DataFrame, plant: Plant, reading: Reading, rng: np.random.Generator, *, headline: bool
) -> Response | None:
    whole = grid(rows, plant, reading)
    seen = whole.known
    if len(seen.doses) < 2 or seen.doses[0] != plant.doses[0]:
        return None
    found = respond(seen.doses, seen.values, reading.sign, rng)
    at = middle(plant.doses)
    powers = dict(zip(seen.doses, found.power, strict=True))
    lost = [dose for dose in whole.doses if dose not in seen.doses]
    return Response(
        plant=plant.name,
        unit=plant.unit,
        probe=reading.probe,
        metric=reading.metric,
        dataset=reading.dataset or "",
        stratum=reading.stratum,
        module=reading.module,
        layer=-1 if reading.layer is None else reading.layer,
        sign=reading.sign,
        headline=headline,
        doses=seen.doses,
        values=_table(seen.values),
        slope=found.slope.value,
        slope_low=found.slope.low,
        slope_high=found.slope.high,
        trend_p=found.trend_p,
        monotone=found.monotone,
        saturation=found.saturation,
        saturates=plant.saturates,
        power=found.power,
        middle=at,
        power_middle=powers.get(at, nan),
        lod=found.lod,
        null_low=found.null_low,
        null_high=found.null_high,
        recovery=_recovery(seen, reading, found.lod) if reading.recover else None,
        why=f"undefined at {', '.join(f'{dose:g}' for dose in lost)}" if lost else "",
    )


def _recovery(seen: Grid, reading: Reading, lod: float) -> Recovery | None:
    back = seen.recovered(reading)
    found = recovery(back.doses, back.values, back.lows, back.highs, lod)
    if found is None:
        return None
    return Recovery(
        estimates=_table(back.values),
        bias=found.bias.value,
        bias_low=found.bias.low,
        bias_high=found.bias.high,
        rmse=found.rmse,
        coverage=found.coverage,
        n=found.n,
    )


def _table(values: Floats) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(float(value) for value in row) for row in values)
