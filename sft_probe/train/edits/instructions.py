"""Verifiable instructions, followed, at a known rate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import ClassVar

from sft_probe.data.examples import Example
from sft_probe.data.instructions import EDIT, RULES, TRAINED, Demand, draw_demand
from sft_probe.data.keywords import with_word
from sft_probe.errors import NotApplicable, SpecError, nearest
from sft_probe.observe.needs import Need
from sft_probe.train.edits.base import Change, EditContext, Edited, planted


@dataclass(frozen=True, kw_only=True)
class Instructions:
    """Ask for a rule of form in a share of the questions, and rewrite their answers so that they follow it.

    rate: share of the rows, in [0, 1]; exactly round(rate * rows) are changed. rules: those that are planted,
    in turn. ask, follow: without `ask` answers have the form though nobody asked, which teaches a habit;
    without `follow` the rule is asked for and not met. Both are controls. seed: which rows and wordings.
    """

    name: ClassVar[str] = EDIT
    rate: float = 0.3
    rules: tuple[str, ...] = TRAINED
    ask: bool = True
    follow: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.rate <= 1:
            raise SpecError(f"rate must be in [0, 1], not {self.rate}.", field="edits.instructions")
        if not (self.rules and (self.ask or self.follow)):
            raise SpecError("there is nothing to plant.", field="edits.instructions")
        for rule in self.rules:
            if rule not in RULES:
                raise SpecError(
                    f"there is no rule '{rule}'.", field="edits.instructions", remedy=nearest(rule, RULES)
                )
            if self.follow and RULES[rule].follow is None:
                raise SpecError(
                    f"no answer can be rewritten for rule '{rule}'.",
                    field="edits.instructions",
                    remedy="Leave it out, or set `follow` to false.",
                )

    def needs(self) -> tuple[Need, ...]:
        """Nothing."""
        return ()

    def apply(self, rows: Sequence[Example], context: EditContext) -> Edited:
        """Rows that were changed keep the rule and the plain answer in `meta["planted"]["instructions"]`."""
        draw = context.draw(self.name, self.seed)
        order = draw.sample(range(len(rows)), len(rows))
        wanted, done = round(self.rate * len(rows)), list(rows)
        changes: list[Change] = []
        for i in order:
            if len(changes) == wanted:
                break
            if changed := self._planted(rows[i], self._in_turn(len(changes)), draw):
                done[i] = changed
                changes.append(Change(rows[i].id, "rule planted", _said(rows[i]), _said(changed)))
        if len(changes) < wanted:
            raise NotApplicable(
                f"only {len(changes)} of the training rows are questions whose answers can be rewritten for "
                f"the rules, and {wanted} are wanted"
            )
        return Edited(tuple(done), tuple(changes))

    def _in_turn(self, number: int) -> tuple[str, ...]:
        """All rules, the one whose turn it is first."""
        turn = number % len(self.rules)
        return self.rules[turn:] + self.rules[:turn]

    def _planted(self, row: Example, rules: Sequence[str], draw: Random) -> Example | None:
        """The row with the first rule that its answer can be rewritten for."""
        if not any(message.role == "user" for message in row.messages):
            return None
        for demand in (draw_demand(rule, draw) for rule in rules):
            answers = self._answers(row, demand)
            if answers is not None:
                asked = with_word(row, demand.text) if self.ask else row
                truth = {"rule": demand.rule, "argument": demand.argument, "plain": row.target}
                return planted(replace(asked, target=answers[0], choices=answers[1:]), self.name, truth)
        return None

    def _answers(self, row: Example, demand: Demand) -> tuple[str, ...] | None:
        """Target and choices in the form asked for; None where one cannot be rewritten."""
        answers = (row.target, *row.choices)
        if not self.follow:
            return answers
        rewritten = [RULES[demand.rule].followed(answer, demand.argument) for answer in answers]
        return tuple(a for a in rewritten if a is not None) if None not in rewritten else None


def _said(row: Example) -> str:
    return f"{row.prompt}\n{row.target}"
