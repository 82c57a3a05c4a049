"""Rows left out of training by lot, to be compared with those that stayed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from sft_probe.data.examples import Example
from sft_probe.errors import NotApplicable, SpecError
from sft_probe.observe.needs import Need
from sft_probe.train.edits.base import Change, EditContext, Edited


@dataclass(frozen=True, kw_only=True)
class HoldBack:
    """Leave out a share of the rows by lot, so that rows trained on and rows left out come from one pool.

    share: of the rows, in (0, 1). redraw: cast lots anew in every training run, so that each row is in some
    runs and not in others. seed: of the lot.
    """

    name: ClassVar[str] = "hold_back"
    share: float = 0.5
    redraw: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.share < 1:
            raise SpecError(f"share must be between 0 and 1, not {self.share}.", field="edits.hold_back")

    def needs(self) -> tuple[Need, ...]:
        """Nothing."""
        return ()

    def apply(self, rows: Sequence[Example], context: EditContext) -> Edited:
        """Rows in their order, and those left out, which probes find as the data set `left_out`."""
        draw = context.draw(self.name, self.seed, *((context.seed,) if self.redraw else ()))
        out = set(draw.sample(range(len(rows)), round(self.share * len(rows))))
        if not 0 < len(out) < len(rows):
            raise NotApplicable(f"{self.share:g} of {len(rows)} training rows cannot be left out")
        return Edited(
            rows=tuple(row for i, row in enumerate(rows) if i not in out),
            changes=tuple(Change(rows[i].id, "left out", rows[i].target, "") for i in sorted(out)),
            left_out=tuple(rows[i] for i in sorted(out)),
        )
