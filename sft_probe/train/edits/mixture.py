"""Rows of another data set in the place of a known share of the training rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from sft_probe.data.examples import Example
from sft_probe.errors import NotApplicable, SpecError
from sft_probe.observe.needs import Need
from sft_probe.train.edits.base import Change, EditContext, Edited, planted


@dataclass(frozen=True, kw_only=True)
class Mixture:
    """Put rows of another data set of the study in the place of a share of the rows.

    dataset: a name in `data.others`. share: of the rows that give way, in [0, 1]; the number of rows stays,
    so that doses differ in nothing else. With one seed the rows of a lower share are among those of a higher
    one. seed: which rows give way, and to which.
    """

    name: ClassVar[str] = "mixture"
    dataset: str = "others"
    share: float = 0.5
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1:
            raise SpecError(f"share must be in [0, 1], not {self.share}.", field="edits.mixture.share")

    def needs(self) -> tuple[Need, ...]:
        """Nothing."""
        return ()

    def apply(self, rows: Sequence[Example], context: EditContext) -> Edited:
        """Rows that came in say whence (`from`). Raises: NotApplicable if the data set lacks rows."""
        if self.dataset not in context.data:
            raise NotApplicable(f"the study has no data set '{self.dataset}' in data.others")
        pool, number = list(context.data[self.dataset]), round(self.share * len(rows))
        if number > len(pool):
            raise NotApplicable(f"'{self.dataset}' has {len(pool)} rows, not {number}")
        draw, places = context.draw(self.name, self.seed), list(range(len(rows)))
        draw.shuffle(places)
        draw.shuffle(pool)
        done, changes = list(rows), []
        for i, row in zip(places[:number], pool, strict=False):
            done[i] = planted(row, self.name, {"from": self.dataset})
            changes.append(Change(row.id, "put in", rows[i].target, row.target))
        return Edited(tuple(done), tuple(changes))
