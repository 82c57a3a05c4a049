"""Rows of cells as `cells.rows` would give them, with numbers of one's choice."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import nan
from typing import Any

import pandas as pd

from sft_probe.calibration.plants.base import Plant, Reading

DOSES = (0.0, 1.0, 2.0, 3.0, 4.0)


def plant(**changes: Any) -> Plant:
    """A plant that probe `p` reads as metric `m`; nothing of it can be trained."""
    given: dict[str, Any] = {
        "name": "weed",
        "unit": "1",
        "doses": DOSES,
        "probes": ("p",),
        "readings": (Reading(probe="p", metric="m", recover=lambda value: value / 2),),
        "study": lambda dose: {"data": {"train": "x"}, "arms": {"arm": {}}},
    }
    return Plant(**given | changes)


def row(dose: float, seed: int, value: float, **changes: Any) -> dict[str, Any]:
    """One row; its interval is one to either side."""
    given = {
        "plant": "weed",
        "kind": "dose",
        "dose": dose,
        "seed": seed,
        "step": 1,
        "probe": "p",
        "metric": "m",
        "dataset": "test",
        "stratum": "",
        "module": "",
        "layer": -1,
        "value": value,
        "base": 0.0,
        "se": nan,
        "ci_low": value - 1,
        "ci_high": value + 1,
        "null_value": 0.0,
    }
    return given | changes


def cells(
    value: Callable[[float, int], float], doses: Iterable[float] = DOSES, seeds: int = 3, **changes: Any
) -> list[dict[str, Any]]:
    """A row for every dose and seed."""
    return [row(dose, seed, value(dose, seed), **changes) for dose in doses for seed in range(seeds)]


def table(*parts: list[dict[str, Any]]) -> pd.DataFrame:
    """Rows as a frame."""
    return pd.DataFrame([one for part in parts for one in part])
