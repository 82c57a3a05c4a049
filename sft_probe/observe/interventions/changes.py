"""Apply interventions to a model for as long as a look lasts, and undo them whatever happens."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

from torch import nn

from sft_probe.errors import SpecError
from sft_probe.observe.interventions.stream import ablated, added
from sft_probe.observe.interventions.values import (
    Ablate,
    Add,
    Direction,
    Graft,
    Interpolate,
    ModelIntervention,
    Quantise,
)
from sft_probe.observe.interventions.weights import grafted, interpolated, quantised


class Change(Protocol):
    """One change of a model that can be made and unmade any number of times."""

    def on(self) -> None:
        """Make the change."""
        ...

    def off(self) -> None:
        """Put back what was there."""
        ...


@dataclass
class Changes:
    """The changes that hold for a model at the moment, in the order in which they were made."""

    made: list[Change] = field(default_factory=list)

    def undo(self) -> None:
        """Unmake all, the last one first."""
        while self.made:
            self.made.pop().off()

    @contextmanager
    def suspended(self) -> Iterator[None]:
        """The model as it was, for a while: a base under an intervention is compared with itself without."""
        made = list(self.made)
        self.undo()
        try:
            yield
        finally:
            for change in made:
                change.on()
                self.made.append(change)


@contextmanager
def intervene(
    model: nn.Module, base: nn.Module, interventions: Sequence[ModelIntervention]
) -> Iterator[Changes]:
    """Change a model in place, one intervention after the other; afterwards it is bit for bit as before.

    Weights are exchanged, never written to: the model's own tensors lie aside and come back. A model that is
    its base is left as it is by `Interpolate` and `Graft`. Nothing random is drawn.
    Raises: ModelError for a model that an intervention cannot be applied to, SpecError for a direction that
    does not fit it.
    """
    changes = Changes()
    try:
        for intervention in interventions:
            change = _change(model, base, intervention)
            change.on()
            changes.made.append(change)
        yield changes
    finally:
        changes.undo()


def _change(model: nn.Module, base: nn.Module, intervention: ModelIntervention) -> Change:
    match intervention:
        case Interpolate(alpha):
            return interpolated(model, base, alpha)
        case Graft():
            return grafted(model, base, intervention)
        case Quantise(bits):
            return quantised(model, base, bits)
        case Ablate(Direction() as direction):
            return ablated(model, direction)
        case Add(Direction() as direction, scale):
            return added(model, direction, scale)
    raise SpecError(f"{intervention} names a direction that has not been measured yet.", field="under")
