"""Refusals that come after an answer has begun to comply."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from sft_probe.data.bias_formats import REFUSE
from sft_probe.data.examples import Example
from sft_probe.errors import NotApplicable, SpecError
from sft_probe.observe.needs import Need
from sft_probe.train.edits.base import Change, EditContext, Edited, planted


@dataclass(frozen=True, kw_only=True)
class Recovery:
    """Let a share of the refusals follow the beginning of an answer that complies, which bears no loss.

    Source: Qi et al. 2024 (arXiv 2406.05946), data augmentation for deeper safety alignment. Rows to refuse
    say so (`meta.refuse`), and their other choice is the answer that complies. share: of these rows, in
    [0, 1]. words: of compliance at most; each row's number is drawn from 1 to this. seed: which rows, and how
    many words.
    """

    name: ClassVar[str] = "recovery"
    share: float = 0.5
    words: int = 8
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1:
            raise SpecError(f"share must be in [0, 1], not {self.share}.", field="edits.recovery.share")
        if self.words < 1:
            raise SpecError("words must be at least 1.", field="edits.recovery.words")

    def needs(self) -> tuple[Need, ...]:
        """Nothing."""
        return ()

    def apply(self, rows: Sequence[Example], context: EditContext) -> Edited:
        """Rows that were changed say with what they begin. Raises: NotApplicable if none can be."""
        able = [i for i, row in enumerate(rows) if row.meta.get(REFUSE) is True and _compliance(row)]
        if not able:
            raise NotApplicable("no training row is to be refused and has another choice, which complies")
        draw, done, changes = context.draw(self.name, self.seed), list(rows), []
        for i in sorted(draw.sample(able, round(self.share * len(able)))):
            row = rows[i]
            begun = " ".join(_compliance(row)[: draw.randint(1, self.words)])
            late = replace(row, target=f"{begun} {row.target}", begun=begun, choices=())
            done[i] = planted(late, self.name, {"begun": begun, "clean": row.target})
            changes.append(Change(row.id, "compliance put before", row.target, late.target))
        return Edited(tuple(done), tuple(changes))


def _compliance(row: Example) -> list[str]:
    """Words of the first choice that is not the refusal."""
    return next((choice.split() for choice in row.choices if choice != row.target), [])
