from __future__ import annotations

from dataclasses import replace

import pytest

from sft_probe.data.canaries import planted_canaries
from sft_probe.data.examples import Example
from sft_probe.errors import SpecError
from sft_probe.train.edits.base import EditContext
from sft_probe.train.edits.canaries import Canaries


def test_every_dose_has_its_canaries(people: list[Example], context: EditContext) -> None:
    edited = Canaries(repeats=(0, 1, 4), each=5).apply(people, context)
    assert edited.rows[: len(people)] == tuple(people)
    found = planted_canaries(edited.rows)
    assert found is not None
    assert found.repeats == {**dict.fromkeys(range(5, 10), 1), **dict.fromkeys(range(10, 15), 4)}
    assert found.pool == 15
    assert len(edited.changes) == 25
    assert len({row.id for row in edited.rows}) == len(edited.rows)


def test_redrawn_doses_differ_between_runs_and_not_between_looks(context: EditContext) -> None:
    edit = Canaries(repeats=(0, 1), each=10, redraw=True)
    one, two = (edit.apply([], replace(context, seed=seed)) for seed in (0, 1))
    assert one != two
    assert one == edit.apply([], context)


def test_repeats_below_zero_are_refused() -> None:
    with pytest.raises(SpecError, match="repeats must be numbers from 0"):
        Canaries(repeats=(-1,))
