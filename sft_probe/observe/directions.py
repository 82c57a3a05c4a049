"""Directions that needs declare, as vectors of the residual stream."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from sft_probe.observe.interventions import Contrast, Declared, Direction, MeanShift
from sft_probe.observe.needs import Need, States
from sft_probe.observe.observations import Floats, Observation, Observed, StatesSeen


def vectors(
    named: Mapping[Declared, States], seen: Mapping[Need, Observation], base: Observed
) -> dict[Declared, Direction]:
    """The vectors that declared directions are in a model. base: what its base shows, for mean shifts."""
    found: dict[Declared, Direction] = {}
    for declared, need in named.items():
        states = seen[need]
        assert isinstance(states, StatesSeen)
        if isinstance(declared, Contrast):
            found[declared] = _contrast(declared, states)
        else:
            found[declared] = _mean_shift(declared, states, base[need])
    return found


def place_at(layers: Sequence[int], depth: float) -> int:
    """Place among the layers that lies at a share of the depth."""
    return round(depth * (len(layers) - 1))


def _mean_shift(declared: MeanShift, seen: StatesSeen, base: StatesSeen) -> Direction:
    place = 0 if declared.layer is not None else place_at(seen.layers, declared.depth)
    shift: Floats = seen.states[place].mean(0) - base.states[place].mean(0)
    if declared.random:
        shift = _meaningless(shift, declared.random)
    return Direction(seen.layers[place], tuple(shift.tolist()))


def _contrast(declared: Contrast, seen: StatesSeen) -> Direction:
    marked = np.array([example.meta.get(declared.field) is True for example in seen.examples])[seen.example]
    place = place_at(seen.layers, declared.depth)
    states = seen.states[place].astype(np.float64)
    if marked.all() or not marked.any():
        return Direction(seen.layers[place], (0.0,) * states.shape[-1])
    apart: Floats = states[marked].mean(0) - states[~marked].mean(0)
    if declared.random:
        apart = _meaningless(apart, declared.random)
    return Direction(seen.layers[place], tuple(apart.tolist()))


def _meaningless(like: Floats, seed: int) -> Floats:
    """A random vector as long as the given one."""
    drawn = np.random.default_rng(seed).standard_normal(len(like))
    found: Floats = drawn * (np.linalg.norm(like) / np.linalg.norm(drawn))
    return found
