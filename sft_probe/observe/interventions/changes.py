"""Apply interventions to a model for as long as a look lasts, and undo them whatever happens."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager

from torch import nn

from sft_probe.errors import SpecError
from sft_probe.observe.interventions.shrinking import shrunk
from sft_probe.observe.interventions.stream import ablated, added
from sft_probe.observe.interventions.values import (
    Ablate,
    Add,
    Direction,
    Graft,
    Interpolate,
    ModelIntervention,
    Quantise,
    ShrinkIntruders,
)
from sft_probe.observe.interventions.weights import grafted, interpolated, quantised


@contextmanager
def intervene(
    model: nn.Module, base: nn.Module, interventions: Sequence[ModelIntervention]
) -> Iterator[None]:
    """Change a model in place, one intervention after the other; afterwards it is bit for bit as before.

    Weights are exchanged, never written to: the model's own tensors lie aside and come back. The base is
    left alone, so it must be another object (`shared_copy` makes one). No shared
    random state is drawn from.
    Raises: ModelError for a model that an intervention cannot be applied to, SpecError for a direction or a
    layer that does not fit it.
    """
    with ExitStack() as stack:
        for intervention in interventions:
            stack.enter_context(_change(model, base, intervention))
        yield


def _change(
    model: nn.Module, base: nn.Module, intervention: ModelIntervention
) -> AbstractContextManager[None]:
    match intervention:
        case Interpolate(alpha):
            return interpolated(model, base, alpha)
        case Graft():
            return grafted(model, base, intervention)
        case Quantise(bits):
            return quantised(model, base, bits)
        case ShrinkIntruders():
            return shrunk(model, base, intervention)
        case Ablate(Direction() as direction):
            return ablated(model, direction)
        case Add(Direction() as direction, scale):
            return added(model, direction, scale)
    raise SpecError(f"{intervention} names a direction that has not been measured yet.", field="under")
