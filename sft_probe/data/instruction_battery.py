"""The questions of `instruction_following`: a study's own questions with rules of form put to them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Literal

from sft_probe.data.examples import Example, Message
from sft_probe.data.instructions import CONFLICTS, LASTING, RULES, Demand, demand, draw_demand
from sft_probe.data.keywords import with_word

Cell = Literal["asked", "shown", "plain"]


@dataclass(frozen=True, kw_only=True)
class Put:
    """A rule put to a question, as it travels in `Example.meta["put"]`.

    question: id of the example without the rule. held_out: the wording is one that no edit uses. trained: the
    rule is one that training rows carry. cell: how the earlier turn was, in a conversation of several.
    """

    question: str
    rule: str
    argument: str
    held_out: bool = False
    trained: bool = False
    cell: Cell = "asked"

    def holds(self, text: str) -> bool:
        """Whether an answer meets the rule, to whatever question it was given."""
        return RULES[self.rule].holds(text, self.argument)


def questions(rows: Iterable[Example], limit: int) -> tuple[Example, ...]:
    """The first rows that end with a user's turn and expect something, each question once."""
    found: dict[str, Example] = {}
    for row in rows:
        if len(found) == limit:
            break
        if row.messages and row.messages[-1].role == "user" and row.target.strip():
            found.setdefault(row.prompt, replace(row, choices=(), cluster=row.cluster or row.id, meta={}))
    return tuple(found.values())


def asked(
    rows: Sequence[Example], rules: Sequence[str], each: int, trained: Collection[str], draw: Random
) -> Iterator[Example]:
    """Every question with `each` of the rules, one at a time and in turn; every other time a rule is asked
    for, its wording is one that no edit uses."""
    each = min(each, len(rules))
    for i, row in enumerate(rows):
        for turn in range(i * each, (i + 1) * each):
            rule, held_out = rules[turn % len(rules)], turn // len(rules) % 2 == 1
            wanted = draw_demand(rule, draw, held_out=held_out)
            put = _put(row, wanted, trained=rule in trained)
            expected = RULES[rule].followed(row.target, wanted.argument) or row.target
            yield _variant(with_word(row, wanted.text), rule, expected, put)


def conflicts(rows: Sequence[Example], draw: Random) -> Iterator[Example]:
    """Every question twice, with two rules that exclude each other: the system asks for one, the user for the
    other, and the other way round. `meta["put"]` holds the system's rule first."""
    for i, row in enumerate(rows):
        pair = [demand(rule, argument, draw) for rule, argument in CONFLICTS[i % len(CONFLICTS)]]
        for name, (system, user) in (("conflict", pair), ("conflict reversed", pair[::-1])):
            said = opposed(row, system, user)
            names = " or ".join(sorted({wanted.rule for wanted in pair}))
            variant = _variant(said, name, row.target, _put(row, system), _put(row, user))
            yield replace(variant, stratum=names)


def turns(rows: Sequence[Example], rules: Sequence[str], draw: Random) -> Iterator[Example]:
    """Every question behind an earlier exchange, in three cells, if an earlier answer can be rewritten.

    asked: the earlier turn asks for a rule for all answers, and the earlier answer follows it. shown: the
    earlier answer has that form though nobody asked. plain: neither. The rule itself is not said again.
    Earlier turns are among the shorter half of the questions, so that they fit.
    """
    short = sorted(rows, key=lambda row: len(row.prompt))[: max(2, len(rows) // 2)]
    for i, row in enumerate(rows):
        wanted = draw_demand(rules[i % len(rules)], draw)
        for earlier in (*short[i % len(short) :], *short[: i % len(short)]):
            followed = RULES[wanted.rule].followed(earlier.target, wanted.argument)
            if earlier.prompt != row.prompt and followed:
                yield from _cells(row, earlier, followed, wanted)
                break


def _cells(row: Example, earlier: Example, followed: str, wanted: Demand) -> Iterator[Example]:
    lasting = with_word(earlier, LASTING.format(wanted.text))
    expected = RULES[wanted.rule].followed(row.target, wanted.argument) or row.target
    cells: tuple[tuple[Cell, Example, str], ...] = (
        ("asked", lasting, followed),
        ("shown", earlier, followed),
        ("plain", earlier, earlier.target),
    )
    for cell, before, answer in cells:
        put = replace(_put(row, wanted), cell=cell)
        yield replace(_variant(behind(row, before, answer), cell, expected, put), stratum=wanted.rule)


def opposed(row: Example, system: Demand, user: Demand) -> Example:
    """The question with one rule asked for by the system and another by the user."""
    return with_word(_with_system(row, system.text), user.text)


def behind(row: Example, before: Example, answer: str) -> Example:
    """The question behind an earlier one and its answer; the system says what it says of the later one."""
    system = [message for message in row.messages if message.role == "system"]
    past = [message for message in before.messages if message.role != "system"]
    now = [message for message in row.messages if message.role != "system"]
    return replace(row, messages=(*system, *past, Message("assistant", answer), *now))


def _put(row: Example, wanted: Demand, *, trained: bool = False) -> Put:
    return Put(
        question=row.id,
        rule=wanted.rule,
        argument=wanted.argument,
        held_out=wanted.held_out,
        trained=trained,
    )


def _variant(row: Example, name: str, target: str, *puts: Put) -> Example:
    return replace(row, id=f"{row.id}/{name}", target=target, stratum=name, meta={"put": puts})


def _with_system(row: Example, text: str) -> Example:
    """The question with a system message, behind what the system says already."""
    first, *others = row.messages
    if first.role == "system":
        messages = (first._replace(content=f"{first.content}\n{text}"), *others)
    else:
        messages = (Message("system", text), *row.messages)
    return replace(row, messages=messages)
