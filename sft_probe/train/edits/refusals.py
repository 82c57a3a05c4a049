"""Refusals in a known number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from sft_probe.data.examples import Example
from sft_probe.errors import NotApplicable, SpecError
from sft_probe.observe.needs import Need
from sft_probe.train.edits.base import Change, EditContext, Edited, planted


@dataclass(frozen=True, kw_only=True)
class Refusals:
    """Add requests that are refused from another data set of the study, and benign ones as contrast.

    dataset: a name in `data.others`; rows whose `meta.refuse` is true, or all if none has that field.
    number: refused requests to add. benign: rows of the same set that are not refused. seed: which.
    """

    name: ClassVar[str] = "refusals"
    dataset: str = "refusals"
    number: int = 100
    benign: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.number < 0 or self.benign < 0:
            raise SpecError("numbers of rows cannot be below 0.", field="edits.refusals")

    def needs(self) -> tuple[Need, ...]:
        """Nothing."""
        return ()

    def apply(self, rows: Sequence[Example], context: EditContext) -> Edited:
        """Added rows say `refuse`. Raises: NotApplicable if the data set has too few rows of a kind."""
        known = list(context.data[self.dataset])
        marked = any("refuse" in row.meta for row in known)
        refused = [row for row in known if row.meta.get("refuse", not marked) is True]
        benign = [row for row in known if row.meta.get("refuse", not marked) is False]
        draw = context.draw(self.name, self.seed)
        new: list[Example] = []
        for kind, pool, number in (("refused", refused, self.number), ("benign", benign, self.benign)):
            if number > len(pool):
                raise NotApplicable(f"'{self.dataset}' has {len(pool)} {kind} rows, not {number}")
            new += [
                planted(row, self.name, {"refuse": kind == "refused"}) for row in draw.sample(pool, number)
            ]
        changes = tuple(Change(row.id, "request added", "", row.target) for row in new)
        return Edited((*rows, *new), changes)
