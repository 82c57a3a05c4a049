"""Random secrets, repeated a known number of times."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from sft_probe.data.canaries import REFERENCES_FROM, canary
from sft_probe.data.examples import Example
from sft_probe.errors import SpecError
from sft_probe.observe.needs import Need
from sft_probe.train.edits.base import Change, EditContext, Edited, planted


@dataclass(frozen=True, kw_only=True)
class Canaries:
    """Add questions whose answer is a random secret, each repeated a known number of times.

    repeats: doses; 0 sets canaries aside that are not planted. each: canaries per dose. redraw: deal the
    doses anew in every training run, so that the effect of inclusion can be told from the secret itself.
    seed: of the secrets.
    """

    name: ClassVar[str] = "canaries"
    repeats: tuple[int, ...] = (0, 1, 2, 4, 8, 16)
    each: int = 20
    redraw: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.repeats or min(self.repeats) < 0 or self.each < 1:
            raise SpecError(
                "repeats must be numbers from 0, and each at least 1.", field="edits.canaries.repeats"
            )
        if self.each * len(self.repeats) > REFERENCES_FROM:
            raise SpecError("these are more canaries than there are.", field="edits.canaries.each")

    def needs(self) -> tuple[Need, ...]:
        """Nothing."""
        return ()

    def apply(self, rows: Sequence[Example], context: EditContext) -> Edited:
        """Every copy says its `number`, its `repeats`, and the `pool` of numbers up for planting."""
        numbers = list(range(self.each * len(self.repeats)))
        if self.redraw:
            context.draw(self.name, self.seed, context.seed).shuffle(numbers)
        added = [
            (canary(self.seed, number), times, copy, number)
            for place, number in enumerate(numbers)
            for times in (self.repeats[place // self.each],)
            for copy in range(times)
        ]
        new = [
            planted(
                replace(row, id=f"{row.id}~{copy}"),
                self.name,
                {"number": number, "repeats": times, "pool": len(numbers)},
            )
            for row, times, copy, number in added
        ]
        changes = tuple(Change(row.id, "canary added", "", row.target) for row in new)
        return Edited((*rows, *new), changes)
