"""Answers dealt anew among the rows: all that a dose could teach is gone, all else is as it was."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from sft_probe.data.examples import Example
from sft_probe.errors import NotApplicable, SpecError
from sft_probe.observe.needs import Need
from sft_probe.train.edits.base import Change, EditContext, Edited, planted


@dataclass(frozen=True, kw_only=True)
class ShuffledAnswers:
    """Deal the answers anew among rows with the same choices, or among all rows without choices.

    Every answer is given as often as before, and goes with its question by chance only: the null of whatever
    the questions teach. share: of the rows whose answers are dealt, in [0, 1]; with one seed the rows of a
    lower share are among those of a higher one. seed: of the deal.
    """

    name: ClassVar[str] = "shuffled_answers"
    share: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1:
            raise SpecError(
                f"share must be in [0, 1], not {self.share}.", field="edits.shuffled_answers.share"
            )

    def needs(self) -> tuple[Need, ...]:
        """Nothing."""
        return ()

    def apply(self, rows: Sequence[Example], context: EditContext) -> Edited:
        """Rows with another answer keep theirs as `clean`. Raises: NotApplicable if all answers are alike."""
        groups: dict[tuple[str, ...], list[int]] = {}
        for i in self._chosen(len(rows), context):
            groups.setdefault(tuple(sorted(rows[i].choices)), []).append(i)
        draw, done, changes = context.draw(self.name, self.seed), list(rows), []
        for members in groups.values():
            answers = [rows[i].target for i in members]
            draw.shuffle(answers)
            for i, answer in zip(members, answers, strict=True):
                if answer != rows[i].target:
                    done[i] = planted(replace(rows[i], target=answer), self.name, {"clean": rows[i].target})
                    changes.append(Change(rows[i].id, "answer dealt anew", rows[i].target, answer))
        if not changes and self.share:
            raise NotApplicable("no two training rows that could exchange answers have different ones")
        return Edited(tuple(done), tuple(changes))

    def _chosen(self, number: int, context: EditContext) -> list[int]:
        """Places of the rows that take part, in their order."""
        places = list(range(number))
        if self.share < 1:
            context.draw(self.name, "rows", self.seed).shuffle(places)
        return sorted(places[: round(self.share * number)])
