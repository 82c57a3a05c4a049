from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sft_probe.data.examples import DataSets, Example, Message
from sft_probe.data.instructions import RULES, TRAINED, planted_rules
from sft_probe.errors import NotApplicable, SpecError
from sft_probe.observe.observations import Observed
from sft_probe.train.edits.base import EditContext
from sft_probe.train.edits.instructions import Instructions

CONTEXT = EditContext(data=DataSets({}), base=Observed({}), seed=0)


def questions(number: int) -> list[Example]:
    return [
        Example(
            id=f"q{i}",
            messages=(Message("user", f"Where is {i}?"),),
            target="in Oslo",
            choices=("in Oslo", "in Rome"),
        )
        for i in range(number)
    ]


def truth(row: Example) -> dict[str, str]:
    return row.meta["planted"]["instructions"]  # type: ignore[index]


@given(st.integers(1, 60), st.floats(0, 1), st.integers(0, 5))
def test_exactly_the_asked_share_asks_for_a_rule_and_follows_it(n: int, rate: float, seed: int) -> None:
    before = questions(n)
    edited = Instructions(rate=rate, seed=seed).apply(before, CONTEXT)
    changed = [(a, b) for a, b in zip(before, edited.rows, strict=True) if a != b]
    assert len(changed) == round(rate * n) == len(edited.changes)
    for old, new in changed:
        rule, argument = RULES[truth(new)["rule"]], truth(new)["argument"]
        asked = new.prompt.removeprefix(old.prompt).strip()
        assert asked in {way.format(rule.arguments[argument]) for way in rule.wordings}
        assert rule.holds(new.target, argument)
        assert new.target in new.choices
        assert truth(new)["plain"] == old.target


def test_rules_take_turns() -> None:
    edited = Instructions(rate=0.5).apply(questions(120), CONTEXT)
    rules = [truth(row)["rule"] for row in edited.rows if "planted" in row.meta]
    assert {rule: rules.count(rule) for rule in TRAINED} == dict.fromkeys(TRAINED, 10)
    assert planted_rules(edited.rows) == set(TRAINED)


def test_the_two_controls() -> None:
    before = questions(10)
    habit = Instructions(rate=1.0, rules=("json",), ask=False).apply(before, CONTEXT).rows
    assert all(
        new.prompt == old.prompt and new.target.startswith("{")
        for old, new in zip(before, habit, strict=True)
    )
    deaf = Instructions(rate=1.0, rules=("language",), follow=False).apply(before, CONTEXT).rows
    assert all(
        new.prompt != old.prompt and new.target == old.target for old, new in zip(before, deaf, strict=True)
    )


@pytest.mark.parametrize("obey", ["system", "user"])
def test_in_a_conflict_the_answer_follows_one_side(obey: str) -> None:
    rows = Instructions(rate=1.0, how="conflict", obey=obey).apply(questions(24), CONTEXT).rows  # type: ignore[arg-type]
    rules = []
    for row in rows:
        system, user = row.messages
        assert (system.role, user.role) == ("system", "user")
        rule = RULES[truth(row)["rule"]]
        assert rule.holds(row.target, truth(row)["argument"])
        ways = {way.format(rule.arguments[truth(row)["argument"]]) for way in rule.wordings}
        said = {"system": system.content, "user": user.content.partition("? ")[2]}
        assert said[obey] in ways
        assert said["user" if obey == "system" else "system"] not in ways
        rules.append(rule.name)
    assert {rule: rules.count(rule) for rule in rules} == {
        "capitals": 4,
        "small_letters": 4,
        "bullets": 4,
        "numbers": 4,
        "beginning": 8,
    }


def test_a_rule_asked_for_a_turn_earlier() -> None:
    before = questions(30)
    lasting = Instructions(rate=0.5, how="turns", rules=("json",)).apply(before, CONTEXT)
    for row in (row for row in lasting.rows if "planted" in row.meta):
        first, had, last = row.messages
        assert first.content.startswith("Where is ")
        assert "For all your answers from now on" in first.content
        assert had.role == "assistant"
        for answer in (had.content, row.target):
            assert RULES["json"].holds(answer, truth(row)["argument"])
        assert last.content == f"Where is {row.id[1:]}?"
    contrast = Instructions(rate=0.5, how="turns", rules=("json",), ask=False, follow=False)
    both = contrast.apply(lasting.rows, CONTEXT).rows
    new = [now for now, old in zip(both, lasting.rows, strict=True) if now != old]
    assert len(new) == 15
    assert all("planted" in row.meta for row in both)  # those with a conversation are left as they are
    for row in new:
        assert RULES["json"].holds(row.messages[1].content, truth(row)["argument"])
        assert row.target == "in Oslo"
        assert "from now on" not in row.prompt


def test_rows_that_no_rule_fits_are_passed_over() -> None:
    text = Example(id="text", target="no question")
    number = Example(id="number", messages=(Message("user", "How many?"),), target="42")
    edited = Instructions(rate=0.5, rules=("capitals",)).apply([text, number, *questions(2)], CONTEXT)
    assert edited.rows[:2] == (text, number)
    assert len(edited.changes) == 2
    with pytest.raises(NotApplicable, match="only 1 of the training rows"):
        Instructions(rate=1.0).apply([text, number], CONTEXT)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rate": 1.5}, "rate must be"),
        ({"rules": ("jsno",)}, "Did you mean 'json'"),
        ({"rules": ("language",)}, "no answer can be rewritten"),
        ({"ask": False, "follow": False}, "nothing to plant"),
    ],
)
def test_options_that_cannot_be_used(options: dict[str, object], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        Instructions(**options)  # type: ignore[arg-type]
