"""Verifiable instructions, followed, at a known rate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import ClassVar, Literal, get_args

from sft_probe.data.examples import Example
from sft_probe.data.instruction_battery import behind, opposed
from sft_probe.data.instructions import (
    CONFLICTS,
    EDIT,
    LASTING,
    RULES,
    TRAINED,
    Demand,
    demand,
    draw_demand,
)
from sft_probe.data.keywords import with_word
from sft_probe.errors import NotApplicable, SpecError, nearest
from sft_probe.observe.needs import Need
from sft_probe.train.edits.base import Change, EditContext, Edited, planted

How = Literal["question", "conflict", "turns"]


@dataclass(frozen=True, kw_only=True)
class Instructions:
    """Ask for a rule of form in a share of the questions, and rewrite their answers so that they follow it.

    rate: share of the rows, in [0, 1]; exactly round(rate * rows) are changed. rules: those that are planted,
    in turn. ask, follow: without `ask` answers have the form though nobody asked, which teaches a habit;
    without `follow` the rule is asked for and not met. Both are controls. how: the rule comes with the
    "question"; or in "conflict", where the system asks for one and the user for another that excludes it, in
    turn, and the answer follows the one of whom it should `obey`; or "turns", one turn earlier for all
    answers, whose own answer has the form in any case. seed: which rows and wordings.
    """

    name: ClassVar[str] = EDIT
    rate: float = 0.3
    rules: tuple[str, ...] = TRAINED
    ask: bool = True
    follow: bool = True
    how: How = "question"
    obey: Literal["system", "user"] = "system"
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.rate <= 1:
            raise SpecError(f"rate must be in [0, 1], not {self.rate}.", field="edits.instructions")
        for option, known in (("how", get_args(How)), ("obey", ("system", "user"))):
            if getattr(self, option) not in known:
                raise SpecError(f"{option} must be one of {known}.", field=f"edits.instructions.{option}")
        idle = not (self.ask or self.follow) and self.how == "question"
        if not self.rules or idle or (self.how == "conflict" and not (self.ask and self._conflicts)):
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
        short = sorted((row for row in rows if _asks_once(row)), key=lambda row: len(row.prompt))
        earlier = short[: max(2, len(short) // 2)]  # a conversation of them fits
        changes: list[Change] = []
        for i in order:
            if len(changes) == wanted:
                break
            if changed := self._planted(rows[i], len(changes), earlier, draw):
                done[i] = changed
                changes.append(Change(rows[i].id, "rule planted", _said(rows[i]), _said(changed)))
        if len(changes) < wanted:
            raise NotApplicable(
                f"only {len(changes)} of the training rows are questions whose answers can be rewritten for "
                f"the rules, and {wanted} are wanted"
            )
        return Edited(tuple(done), tuple(changes))

    def _planted(self, row: Example, number: int, earlier: Sequence[Example], draw: Random) -> Example | None:
        """The row with the first rule that its answer can be rewritten for; None without any."""
        if self.how == "conflict":
            return self._opposed(row, number, draw) if _asks_once(row) else None
        turn = number % len(self.rules)
        demands = (draw_demand(rule, draw) for rule in self.rules[turn:] + self.rules[:turn])
        if self.how == "turns":
            others = [other for other in earlier if other.prompt != row.prompt]
            if not (others and _asks_once(row)):
                return None
            before = draw.choice(others)
            return next(filter(None, (self._behind(row, before, one) for one in demands)), None)
        if not any(message.role == "user" for message in row.messages):
            return None
        return next(filter(None, (self._with_rule(row, one) for one in demands)), None)

    def _with_rule(self, row: Example, wanted: Demand) -> Example | None:
        """The rule in the question itself."""
        return self._answered(with_word(row, wanted.text) if self.ask else row, wanted)

    def _behind(self, row: Example, before: Example, wanted: Demand) -> Example | None:
        """The rule in an earlier turn that was answered in its form."""
        had = RULES[wanted.rule].followed(before.target, wanted.argument)
        asked = with_word(before, LASTING.format(wanted.text)) if self.ask else before
        return self._answered(behind(row, asked, had), wanted) if had else None

    def _opposed(self, row: Example, number: int, draw: Random) -> Example | None:
        """The first pair of rules, from the one whose turn it is, whose rule to obey fits the answer."""
        pairs = [pair[::order] for pair in self._conflicts for order in (1, -1)]
        for place in range(len(pairs)):
            system, user = (demand(*one, draw) for one in pairs[(number + place) % len(pairs)])
            wanted = system if self.obey == "system" else user
            if found := self._answered(opposed(row, system, user), wanted):
                return found
        return None

    def _answered(self, asked: Example, wanted: Demand) -> Example | None:
        """A changed question with its answers in the form; None where one cannot be rewritten."""
        answers = (asked.target, *asked.choices)
        if self.follow:
            rewritten = [RULES[wanted.rule].followed(answer, wanted.argument) for answer in answers]
            if None in rewritten:
                return None
            answers = tuple(answer for answer in rewritten if answer is not None)
        truth = {"rule": wanted.rule, "argument": wanted.argument, "plain": asked.target}
        return planted(replace(asked, target=answers[0], choices=answers[1:]), self.name, truth)

    @property
    def _conflicts(self) -> list[tuple[tuple[str, str], tuple[str, str]]]:
        """Pairs that exclude each other, of which one at least is among the rules."""
        return [pair for pair in CONFLICTS if any(rule in self.rules for rule, _ in pair)]


def _asks_once(row: Example) -> bool:
    """It ends with its only turn of the user, and has a target."""
    turns = [message.role for message in row.messages if message.role != "system"]
    return turns == ["user"] and bool(row.target.strip())


def _said(row: Example) -> str:
    return f"{row.prompt}\n{row.target}"
