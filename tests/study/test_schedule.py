from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sft_probe.study.schedule import probe_steps, steps_of_probe
from sft_probe.study.spec import ScheduleSpec


@given(points=st.integers(0, 12), max_steps=st.integers(1, 5000))
def test_looks_ascend_from_nothing_to_the_end(points: int, max_steps: int) -> None:
    steps = probe_steps(ScheduleSpec(points=points), max_steps)
    assert steps[0] == 0
    assert steps[-1] == max_steps
    assert list(steps) == sorted(set(steps))
    assert len(steps) <= points + 2


def test_looks_are_log_spaced() -> None:
    assert probe_steps(ScheduleSpec(points=6), 60) == (0, 1, 2, 4, 8, 15, 30, 60)
    assert probe_steps(ScheduleSpec(points=0), 60) == (0, 60)


@pytest.mark.parametrize(("max_steps", "steps"), [(100, (0, 3, 50)), (10, (0, 3))])
def test_explicit_steps_are_kept_as_far_as_training_goes(max_steps: int, steps: tuple[int, ...]) -> None:
    assert probe_steps(ScheduleSpec(steps=(50, 0, 3, 3)), max_steps) == steps


def test_slow_probes_look_at_the_ends() -> None:
    schedule = ScheduleSpec(points=3, ends_only=("forgetting",))
    assert steps_of_probe(schedule, "forgetting", 60) == (0, 60)
    assert steps_of_probe(schedule, "token_shift", 60) == probe_steps(schedule, 60)
