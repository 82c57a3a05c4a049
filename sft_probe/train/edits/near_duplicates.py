"""The same rows again in slightly other words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from sft_probe.data.examples import Example
from sft_probe.data.wordings import rephrased
from sft_probe.errors import NotApplicable, SpecError
from sft_probe.observe.needs import Need
from sft_probe.train.edits.base import Change, EditContext, Edited, planted


@dataclass(frozen=True, kw_only=True)
class NearDuplicates:
    """Repeat a share of the rows with slightly changed prompts.

    share: of the rows with a question, in [0, 1]. copies: near copies of each. seed: which rows.
    """

    name: ClassVar[str] = "near_duplicates"
    share: float = 0.1
    copies: int = 4
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1 or self.copies < 0:
            raise SpecError("share must be in [0, 1], and copies not below 0.", field="edits.near_duplicates")

    def needs(self) -> tuple[Need, ...]:
        """Nothing."""
        return ()

    def apply(self, rows: Sequence[Example], context: EditContext) -> Edited:
        """Copies say which row they repeat (`copy_of`)."""
        able = [row for row in rows if row.messages]
        if not able:
            raise NotApplicable("no training row has a question that could be put in other words")
        new = [
            planted(replace(rephrased(row, copy), id=f"{row.id}~near{copy}"), self.name, {"copy_of": row.id})
            for row in context.draw(self.name, self.seed).sample(able, round(self.share * len(able)))
            for copy in range(self.copies)
        ]
        changes = tuple(Change(row.id, "near copy added", "", row.prompt) for row in new)
        return Edited((*rows, *new), changes)
