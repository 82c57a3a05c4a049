from __future__ import annotations

from collections import Counter
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from sft_probe.data.examples import Example, Message
from sft_probe.data.instruction_battery import Put, asked, conflicts, questions, turns
from sft_probe.data.instructions import LASTING, RULES


def rows(number: int, *before: Message) -> list[Example]:
    return [
        Example(
            id=f"q{i}",
            messages=(*before, Message("user", f"Where is {'so ' * i}{i}?")),
            target=f"in Oslo {i}",
            choices=("yes",),
            stratum="place",
            cluster=f"c{i // 2}",
        )
        for i in range(number)
    ]


def put(example: Example) -> tuple[Put, ...]:
    return example.meta["put"]  # type: ignore[return-value]


def test_only_questions_count_and_each_once() -> None:
    given_rows = [
        Example(id="text", target="no question"),
        *rows(2),
        *rows(1),
        Example(id="blank", messages=(Message("user", "Who?"),), target=" "),
        Example(id="open", messages=(Message("assistant", "Hello"),), target="Hi"),
        Example(id="alone", messages=(Message("user", "Why?"),), target="Because"),
    ]
    assert [row.id for row in questions(given_rows, 10)] == ["q0", "q1", "alone"]
    assert [row.cluster for row in questions(given_rows, 10)] == ["c0", "c0", "alone"]
    assert len(questions(given_rows, 2)) == 2


@given(st.integers(2, 20), st.integers(1, 20), st.integers(0, 3))
def test_rules_are_asked_for_equally_often_in_both_kinds_of_wording(n: int, each: int, seed: int) -> None:
    names = tuple(RULES)
    found = list(asked(rows(n), names, each, {"json"}, Random(seed)))
    assert len(found) == n * min(each, len(names))
    assert len({example.id for example in found}) == len(found)
    counts = Counter(put(example)[0].rule for example in found)
    assert max(counts.values()) - min(counts[name] for name in names) <= 1
    for example in found:
        (own,) = put(example)
        rule, before = RULES[own.rule], next(row for row in rows(n) if row.id == own.question)
        ways = rule.held_out if own.held_out else rule.wordings
        wording = example.prompt.removeprefix(before.prompt).strip()
        assert wording in {way.format(rule.arguments[own.argument]) for way in ways}
        assert own.trained == (own.rule == "json")
        assert own.holds(example.target) or rule.follow is None
    kinds = Counter((put(example)[0].rule, put(example)[0].held_out) for example in found)
    assert all(abs(kinds[name, True] - kinds[name, False]) <= 1 for name in names)


def test_a_conflict_is_put_both_ways() -> None:
    found = list(conflicts(rows(8), Random(0)))
    assert len(found) == 16
    for one, other in zip(found[::2], found[1::2], strict=True):
        assert put(one) == put(other)[::-1]
        assert one.stratum == other.stratum
        assert [message.role for message in one.messages] == ["system", "user"]
    assert len({example.stratum for example in found}) == 4


def test_a_system_message_that_stands_there_stays() -> None:
    (one, _) = conflicts(rows(1, Message("system", "Be kind.")), Random(0))
    assert [message.role for message in one.messages] == ["system", "user"]
    assert one.messages[0].content.startswith("Be kind.\n")


def test_an_earlier_turn_in_three_cells() -> None:
    found = list(turns(rows(6), ("json", "bullets"), Random(0)))
    assert [put(example)[0].cell for example in found] == ["asked", "shown", "plain"] * 6
    for one, two, three in zip(found[::3], found[1::3], found[2::3], strict=True):
        own = put(one)[0]
        answers = [example.messages[1].content for example in (one, two, three)]
        assert [own.holds(answer) for answer in answers] == [True, True, False]
        head = LASTING.partition("{0}")[0]
        assert [head in example.messages[0].content for example in (one, two, three)] == [True, False, False]
        assert one.messages[-1] == two.messages[-1] == three.messages[-1]
        assert one.messages[0].content != one.messages[-1].content
        assert one.cluster == three.cluster


def test_a_rule_that_no_earlier_answer_can_follow_gives_no_conversation() -> None:
    numbers = [Example(id=str(i), messages=(Message("user", f"{i}?"),), target=str(i)) for i in range(4)]
    assert list(turns(numbers, ("capitals",), Random(0))) == []
    assert len(list(turns(numbers, ("capitals", "json"), Random(0)))) == 6
