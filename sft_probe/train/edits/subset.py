"""A known number of the training rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from sft_probe.data.examples import Example
from sft_probe.errors import NotApplicable, SpecError
from sft_probe.observe.needs import Need
from sft_probe.train.edits.base import Change, EditContext, Edited


@dataclass(frozen=True, kw_only=True)
class Subset:
    """Train on so many rows only, drawn at random; with one seed, fewer rows are among the more.

    rows: how many. seed: which. Doses of format (10, 30, 100, 300 rows) are arms that differ in `rows`.
    """

    name: ClassVar[str] = "subset"
    rows: int = 100
    seed: int = 0

    def __post_init__(self) -> None:
        if self.rows < 1:
            raise SpecError("at least one row must be left.", field="edits.subset.rows")

    def needs(self) -> tuple[Need, ...]:
        """Nothing."""
        return ()

    def apply(self, rows: Sequence[Example], context: EditContext) -> Edited:
        """Chance alone keeps the others out, so they compare with those that stay.

        Raises: NotApplicable if there are fewer rows.
        """
        if self.rows > len(rows):
            raise NotApplicable(f"there are {len(rows)} training rows, not {self.rows}")
        order = list(range(len(rows)))
        context.draw(self.name, self.seed).shuffle(order)
        stay = {*order[: self.rows]}
        gone = [row for i, row in enumerate(rows) if i not in stay]
        return Edited(
            rows=tuple(row for i, row in enumerate(rows) if i in stay),
            changes=tuple(Change(row.id, "left out", row.target, "") for row in gone),
            left_out=tuple(gone),
        )
