"""Answers dealt anew among the rows: all that a dose could teach is gone, all else is as it was."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from sft_probe.data.examples import Example
from sft_probe.errors import NotApplicable
from sft_probe.observe.needs import Need
from sft_probe.train.edits.base import Change, EditContext, Edited, planted


@dataclass(frozen=True, kw_only=True)
class ShuffledAnswers:
    """Deal the answers anew among rows with the same choices, or among all rows without choices.

    Every answer is given as often as before, and goes with its question by chance only: the null of whatever
    the questions teach. seed: of the deal.
    """

    name: ClassVar[str] = "shuffled_answers"
    seed: int = 0

    def needs(self) -> tuple[Need, ...]:
        """Nothing."""
        return ()

    def apply(self, rows: Sequence[Example], context: EditContext) -> Edited:
        """Rows with another answer keep theirs as `clean`. Raises: NotApplicable if all answers are alike."""
        groups: dict[tuple[str, ...], list[int]] = {}
        for i, row in enumerate(rows):
            groups.setdefault(tuple(sorted(row.choices)), []).append(i)
        draw, done, changes = context.draw(self.name, self.seed), list(rows), []
        for members in groups.values():
            answers = [rows[i].target for i in members]
            draw.shuffle(answers)
            for i, answer in zip(members, answers, strict=True):
                if answer != rows[i].target:
                    done[i] = planted(replace(rows[i], target=answer), self.name, {"clean": rows[i].target})
                    changes.append(Change(rows[i].id, "answer dealt anew", rows[i].target, answer))
        if not changes:
            raise NotApplicable("no two training rows that could exchange answers have different ones")
        return Edited(tuple(done), tuple(changes))
