"""Responses from rows with planted numbers."""

from __future__ import annotations

from math import nan

import pytest

from sft_probe.calibration.doses import responses
from sft_probe.calibration.plants.base import Reading

from .planted import DOSES, cells, plant, row, table

JITTER = (-0.1, 0.0, 0.1)


def test_a_line_is_read_as_it_was_planted() -> None:
    """The number is twice the dose, so that half of it is the dose again."""
    (found,) = responses(table(cells(lambda dose, seed: 2 * dose + JITTER[seed])), [plant()])
    assert (found.plant, found.probe, found.metric, found.headline) == ("weed", "p", "m", True)
    assert found.doses == DOSES
    assert found.values[1] == pytest.approx((1.9, 2.0, 2.1))
    assert found.slope == pytest.approx(2)
    assert found.slope_low is not None
    assert found.slope_low < 2
    assert found.monotone
    assert found.saturation is None
    assert (found.middle, found.lod) == (2, 1)
    assert found.power[0] is None
    assert found.power_middle == pytest.approx(1)
    assert found.recovery is not None
    assert found.recovery.bias == pytest.approx(0)
    assert (found.recovery.coverage, found.recovery.n) == (1, 12)
    assert found.recovery.estimates[2] == pytest.approx((1.95, 2.0, 2.05))


def test_a_number_that_does_not_move_is_not_detected() -> None:
    (found,) = responses(table(cells(lambda dose, seed: JITTER[seed])), [plant()])
    assert found.lod is None
    assert found.power_middle is not None
    assert found.power_middle < 0.06
    assert found.recovery is None


def test_readings_find_their_rows_by_dose_layer_and_data_set() -> None:
    named = Reading(probe="p", metric="m", dataset="test", stratum="{dose} times", layer=3)
    rows = [
        row(dose, 0, value, stratum=stratum, layer=layer, dataset=dataset)
        for dose in (0.0, 2.0)
        for value, stratum, layer, dataset in (
            (dose, f"{dose:g} times", 3, "test"),
            (9.0, "7 times", 3, "test"),
            (8.0, f"{dose:g} times", 2, "test"),
            (7.0, f"{dose:g} times", 3, "train"),
        )
    ]
    (found,) = responses(table(rows), [plant(readings=(named,))])
    assert found.values == ((0.0,), (2.0,))
    assert found.slope is None  # two cells make no line with an interval


def test_doses_at_which_nothing_is_defined_are_named() -> None:
    rows = table(cells(lambda dose, seed: nan if dose == 3 else dose))
    (found,) = responses(rows, [plant()])
    assert found.doses == (0, 1, 2, 4)
    assert found.why == "undefined at 3"
    assert responses(rows, [plant(name="other")]) == ()
