"""False alarms are counted where they were planted, and nowhere else."""

from __future__ import annotations

from math import nan

import numpy as np
import pytest

from sft_probe.calibration.certificate import Null
from sft_probe.calibration.false_alarms import nulls
from sft_probe.calibration.plants.base import Reading
from sft_probe.calibration.readings import Place

from .planted import cells, plant, row, table

PLACES = {"p": (Place("m"),), "q": (Place("m"),)}


def by_kind(*parts: list[dict[str, object]]) -> dict[tuple[str, str, str], Null]:
    found = nulls(table(*parts), [plant()], PLACES)
    return {(null.probe, null.kind, null.level): null for null in found}


def test_the_base_read_twice() -> None:
    """An interval that leaves out the base's own value is an alarm; so is a difference without interval."""
    rows = [
        row(2, 0, 0.0, kind="same_weights"),
        row(2, 0, 5.0, kind="same_weights", base=0.0),
        row(2, 0, 5.0, kind="same_weights", base=4.5),
        row(2, 0, 5.0, kind="same_weights", base=4.9, ci_low=nan, ci_high=nan),
        row(2, 0, 1e-4, kind="same_weights", ci_low=1e-5, ci_high=2e-4),
        row(2, 0, nan, kind="same_weights", ci_low=nan, ci_high=nan),
        row(2, 0, 9.0, kind="numerics_bf16"),
    ]
    found = by_kind(rows)
    same, other = found["p", "same_weights", "item"], found["p", "numerics", "item"]
    assert (same.n, same.rejected, same.rate) == (5, 2, pytest.approx(0.4))
    assert (other.n, other.rejected) == (1, 1)
    assert same.low is not None
    assert same.low < 0.4


def test_the_null_dose_by_the_interval_of_a_run() -> None:
    """The number is twice the dose and its interval one to either side: 1.5 leaves out 0, 0.5 does not."""
    found = by_kind([row(0, 0, 0.5), row(0, 1, 1.5), row(0, 2, -0.9)])
    assert (found["p", "dose_0", "item"].n, found["p", "dose_0", "item"].rejected) == (3, 1)
    assert (found["p", "dose_0", "run"].n, found["p", "dose_0", "run"].rejected) == (1, 0)
    far = by_kind([row(0, 0, 1.1), row(0, 1, 1.2), row(0, 2, 1.3)])
    assert far["p", "dose_0", "run"].rejected == 1


def test_a_number_that_cannot_lie_below_the_null_dose() -> None:
    """The lowest planted dose is 1: an interval from 0.4 on may be nothing, one from 0.6 on is not."""
    bounded = plant(readings=(Reading(probe="p", metric="m", recover=lambda value: value, edge=True),))
    rows = [row(0, seed, low + 1, ci_low=low) for seed, low in enumerate((0.4, 0.6, -0.2))]
    found = {(null.kind, null.level): null for null in nulls(table(rows), [bounded], PLACES)}
    assert (found["dose_0", "item"].n, found["dose_0", "item"].rejected) == (3, 1)
    close = [row(0, seed, 0.3 + 0.01 * seed) for seed in range(3)]
    far = [row(0, seed, 0.7 + 0.01 * seed) for seed in range(3)]
    for rows, rejected in ((close, 0), (far, 1)):
        found = {(null.kind, null.level): null for null in nulls(table(rows), [bounded], PLACES)}
        assert found["dose_0", "run"].rejected == rejected


def test_another_seed_is_an_alarm_in_one_of_twenty() -> None:
    rng = np.random.default_rng(0)
    parts = [
        cells(lambda dose, seed: rng.normal(), (0.0,), 5, dataset=f"d{i}", probe="q") for i in range(400)
    ]
    null = by_kind(*parts)["q", "other_seed", "run"]
    assert null.n == 2000
    assert null.rate == pytest.approx(0.05, abs=0.015)


def test_two_seeds_say_nothing_of_a_third() -> None:
    assert ("p", "other_seed", "run") not in by_kind(cells(lambda dose, seed: seed, (0.0,), 2))


def test_noise_and_own_samples_count_in_the_direction_of_the_plant() -> None:
    """Seeds at the null dose predict the next one within 4.3 * 0.1 * sqrt(4/3) = 0.5 of their mean."""
    null = cells(lambda dose, seed: 0.1 * (seed - 1), (0.0,))
    rows = [
        row(2, 0, 10.4, kind="random_change", base=10.0),
        row(2, 1, 10.6, kind="random_change", base=10.0),
        row(2, 2, 9.0, kind="random_change", base=10.0),
        row(0, 0, 0.6, kind="sham"),
    ]
    found = by_kind(null, rows)
    noise, sham = found["p", "random_change", "run"], found["p", "sham", "run"]
    assert (noise.n, noise.rejected) == (3, 1)
    assert (sham.n, sham.rejected) == (1, 1)


def test_dealt_out_answers_are_compared_with_the_null_dose() -> None:
    null = cells(lambda dose, seed: 0.1 * (seed - 1), (0.0,))
    dealt = [row(2, seed, value, kind="permuted_labels") for seed, value in enumerate((0.4, -0.4, -0.6))]
    found = by_kind(null, dealt)["p", "permuted_labels", "run"]
    assert (found.n, found.rejected) == (3, 1)
