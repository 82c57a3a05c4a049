import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sft_probe.data.examples import Example
from sft_probe.data.instructions import (
    CONFLICTS,
    RULES,
    TRAINED,
    Rule,
    demand,
    draw_demand,
    planted_rules,
)

FOLLOWABLE = [rule for rule in RULES.values() if rule.follow]
TEXTS = st.lists(
    st.sampled_from(
        'Oslo lies in the north . , ! ? 3.5 - \n The river is green and 北京 * " a today'.split(" ")
    ),
    min_size=1,
    max_size=12,
).map(" ".join)


@given(TEXTS)
def test_a_rewritten_text_meets_its_rule_and_words_can_always_be_framed(text: str) -> None:
    for rule in FOLLOWABLE:
        for argument in rule.arguments:
            rewritten = rule.followed(text, argument)
            assert rewritten is None or rule.holds(rewritten, argument)
            if rule.family in ("frame", "json") or rule.name == "keyword":
                assert rewritten is not None or not text.strip()


@pytest.mark.parametrize("rule", FOLLOWABLE, ids=lambda rule: rule.name)
def test_a_plain_answer_can_be_rewritten_for_every_rule(rule: Rule) -> None:
    whole = "Ida Berg was born in the town of Oslo, and she is a baker"
    plain = "in Oslo" if rule.name == "at_least_words" else whole
    for argument in rule.arguments:
        assert not rule.holds(plain, argument)
        rewritten = rule.followed(plain, argument)
        assert rewritten is not None
        assert rule.followed(rewritten, argument) is not None


def test_wordings_are_distinct_and_take_the_argument() -> None:
    seen: set[str] = set()
    for rule in RULES.values():
        ways = (*rule.wordings, *rule.held_out)
        assert len(rule.wordings) > 1
        assert len(rule.held_out) > 1
        assert all(("{0}" in way) == (rule.arguments != {"": ""}) for way in ways)
        assert seen.isdisjoint(ways)
        seen.update(ways)


def test_both_kinds_of_rules_exist_and_share_families() -> None:
    left = [rule for name, rule in RULES.items() if name not in TRAINED]
    assert all(RULES[name].follow for name in TRAINED)
    assert len(TRAINED) >= 5
    assert {RULES[name].family for name in TRAINED} & {rule.family for rule in left}


@given(TEXTS)
def test_rules_in_conflict_cannot_both_hold(text: str) -> None:
    for (one, first), (other, second) in CONFLICTS:
        for candidate in (text, RULES[one].followed(text, first), RULES[other].followed(text, second)):
            assert not (
                RULES[one].holds(candidate or "", first) and RULES[other].holds(candidate or "", second)
            )


def test_a_demand_is_drawn_by_its_generator_alone() -> None:
    draws = [draw_demand("json", random.Random(s), held_out=s % 2 == 0) for s in (1, 1, 2)]
    assert draws[0] == draws[1]
    assert draws[0].text in [way.format(draws[0].argument) for way in RULES["json"].wordings]
    assert draws[2].text in [way.format(draws[2].argument) for way in RULES["json"].held_out]
    assert "one or two full sentences" in demand("sentences", "1-2", random.Random(0)).text


def test_planted_rules_are_read_off_the_rows() -> None:
    rows = [
        Example(id="1", target="a", meta={"planted": {"instructions": {"rule": "json"}}}),
        Example(id="2", target="a", meta={"planted": {"keyword": {"word": "x"}}}),
        Example(id="3", target="a", meta={"planted": "something of the user's"}),
        Example(id="4", target="a"),
    ]
    assert planted_rules(rows) == {"json"}
