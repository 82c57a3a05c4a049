"""The matrix of planted effects and probes, from rows with planted numbers."""

from __future__ import annotations

from math import sqrt

import numpy as np
import pytest

from sft_probe.calibration.certificate import Reaction
from sft_probe.calibration.plants import PLANTS
from sft_probe.calibration.readings import Place
from sft_probe.calibration.specificity import panel, reactions, shift
from sft_probe.registry import available

from .planted import cells, plant, table

PLACES = {"p": (Place("m"),), "q": (Place("m"), Place("k"), Place("k", ("",), 6)), "r": (Place("m"),)}
JITTER = (-0.1, 0.0, 0.1)


def matrix(*parts: list[dict[str, object]], **changes: object) -> dict[str, Reaction]:
    return {cell.probe: cell for cell in reactions(table(*parts), [plant(**changes)], PLACES)}


def test_a_reaction_beside_the_diagonal_is_outside_unless_nothing_moves() -> None:
    found = matrix(
        cells(lambda dose, seed: dose + JITTER[seed]),
        cells(lambda dose, seed: JITTER[seed], probe="q"),
        cells(lambda dose, seed: 5 * dose + JITTER[seed], probe="r"),
        expected={"r": "It reads the same rows."},
    )
    assert found["p"].target
    assert found["p"].inside is False
    assert (found["q"].inside, found["q"].z, found["q"].explained) == (True, 0, "")
    assert found["r"].inside is False
    assert found["r"].z == pytest.approx(100)  # 10 over a standard deviation of 0.1
    assert found["r"].explained == "It reads the same rows."


def test_the_number_that_moved_most_stands_for_its_probe() -> None:
    still = cells(lambda dose, seed: JITTER[seed], probe="q")
    moved = cells(lambda dose, seed: -dose + JITTER[seed], probe="q", metric="k", layer=6)
    elsewhere = cells(lambda dose, seed: 100 * dose, probe="q", metric="k", layer=2)
    other = cells(lambda dose, seed: 100 * dose, probe="q", metric="not judged")
    cell = matrix(still, moved, elsewhere, other)["q"]
    assert (cell.metric, cell.place, cell.n) == ("k", "test, layer 6", 2)
    assert cell.z == pytest.approx(-20)


def test_chance_alone_rarely_leaves_the_null() -> None:
    """Twenty probes that see noise: of all matrices, one in twenty has a cell outside."""
    rng = np.random.default_rng(0)
    names = {f"probe{i}": (Place("m"),) for i in range(20)}
    outside = 0
    for _ in range(25):
        parts = [cells(lambda dose, seed: rng.normal(), (0.0, 2.0), probe=name) for name in names]
        outside += any(cell.inside is False for cell in reactions(table(*parts), [plant()], names))
    assert outside <= 4


def test_a_shift_by_hand() -> None:
    """Means 0 and 3, both with variance 1: z is 3, and the error of the difference sqrt(2/3)."""
    found = shift("m", "", np.array([-1.0, 0, 1]), np.array([2.0, 3, 4]), float("nan"))
    assert found is not None
    assert (found.z, found.df) == (pytest.approx(3), 4)
    assert found.t == pytest.approx(3 / sqrt(2 / 3))
    assert found.p == pytest.approx(0.0213, abs=1e-3)
    wide = shift("m", "", np.array([-1.0, 0, 1]), np.array([2.0, 3, 4]), 2.0)
    assert wide is not None
    assert wide.z == pytest.approx(1.5)  # items alone spread it more than the seeds show
    assert shift("m", "", np.array([1.0]), np.array([2.0, 3]), 0.0) is None


def test_the_panel_asks_for_probes_that_exist_once_each() -> None:
    beside = panel(PLANTS)
    names = [probe["name"] for probe in beside.probes]
    assert len(set(names)) == len(names)
    assert set(names) <= set(available("probes"))
    read = {reading.probe for plant in PLANTS for reading in plant.readings}
    assert read <= set(names)
