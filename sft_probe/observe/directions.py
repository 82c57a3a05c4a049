"""Directions that needs declare, as vectors of the residual stream."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from sft_probe.observe.interventions import Contrast, Declared, Direction
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
            shift = states.states[0].mean(0) - base[need].states[0].mean(0)
            found[declared] = Direction(declared.layer, tuple(shift.tolist()))
    return found


def _contrast(declared: Contrast, seen: StatesSeen) -> Direction:
    marked = np.array([example.meta.get(declared.field) is True for example in seen.examples])[seen.example]
    place = round(declared.depth * (len(seen.layers) - 1))
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
