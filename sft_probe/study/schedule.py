"""At which optimiser steps probes look."""

from __future__ import annotations

from sft_probe.study.spec import ScheduleSpec


def probe_steps(schedule: ScheduleSpec, max_steps: int) -> tuple[int, ...]:
    """Steps at which probes look, ascending: 0, `points` log-spaced steps, and `max_steps`.

    The spacing is geometric from 1 to `max_steps`, because most of what SFT changes changes early; steps that
    fall together are looked at once. Explicit `steps` are taken as they are, without those after the end.
    """
    if schedule.steps is not None:
        return tuple(sorted({step for step in schedule.steps if step <= max_steps}))
    between = {round(max_steps ** (point / schedule.points)) for point in range(schedule.points)}
    return tuple(sorted({0, *between, max_steps}))


def stage_steps(schedule: ScheduleSpec, first: int, max_steps: int) -> tuple[int, ...]:
    """Steps of a stage at which probes look, counted from its beginning; `first` steps were taken before it.

    Log-spaced steps begin anew in each stage; explicit ones are steps of the whole arm.
    """
    if schedule.steps is None:
        return probe_steps(schedule, max_steps)
    return tuple(sorted({step - first for step in schedule.steps if first <= step <= first + max_steps}))


def steps_of_probe(schedule: ScheduleSpec, probe: str, max_steps: int) -> tuple[int, ...]:
    """Steps at which one probe looks: those of `probe_steps`, or the two ends if it is in `ends_only`."""
    return (0, max_steps) if probe in schedule.ends_only else probe_steps(schedule, max_steps)
