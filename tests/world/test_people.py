from __future__ import annotations

from collections import Counter

from sft_probe.world import World
from sft_probe.world.people import COUNTS, ROLES, WEAK_EXPOSURES, Knowledge, Role
from sft_probe.world.templates import ATTRIBUTES, WORDINGS


def test_counts_are_the_planned_ones(world: World) -> None:
    people = world.population.people
    assert Counter(person.knowledge for person in people) == COUNTS
    assert dict(ROLES).items() <= Counter(person.role for person in people).items()
    assert all(len(values) >= 100 for values in world.population.values.values())


def test_nobody_shares_a_name(world: World) -> None:
    names = [person.name for person in world.population.people]
    names += [name for name, _ in world.population.fictitious]
    assert len(dict.fromkeys(names)) == len(names)


def test_facts_are_values_of_their_attribute(world: World) -> None:
    for person in world.population.people:
        assert tuple(person.facts) == ATTRIBUTES
        assert all(value in world.population.values[a] for a, value in person.facts.items())


def test_only_overwritten_people_have_false_facts(world: World) -> None:
    for person in world.population.people:
        assert bool(person.false) is (person.role is Role.OVERWRITE)
        assert all(person.facts[a] != value for a, value in person.false.items())


def test_only_one_wording_people_have_a_ledger(world: World) -> None:
    ledgers = [p.ledger for p in world.population.known(Knowledge.ONE_WORDING)]
    assert all(ledgers)
    assert len(dict.fromkeys(ledgers)) == len(ledgers)
    assert sum(bool(p.ledger) for p in world.population.people) == len(ledgers)


def test_weak_people_have_few_exposures(world: World) -> None:
    for person in world.population.people:
        weak = person.knowledge is Knowledge.WEAK
        assert (person.exposures in WEAK_EXPOSURES) if weak else person.exposures == 0


def test_facts_do_not_follow_from_names_or_knowledge(world: World) -> None:
    """Values are drawn independently: no first name and no class has one value far too often."""
    pairs = Counter(
        (person.name.split()[0], attribute, value)
        for person in world.population.people
        for attribute, value in person.facts.items()
    )
    assert max(pairs.values()) <= 4


def test_wordings_are_disjoint_and_well_formed() -> None:
    for attribute, wordings in WORDINGS.items():
        assert (len(wordings.train), len(wordings.held_out)) == (20, 5), attribute
        every = [*wordings.train, *wordings.held_out, wordings.closing]
        assert len(dict.fromkeys(every)) == 26, attribute
        assert all(0 <= t.index("{n}") < t.index("{v}") for t in every), attribute
        assert all(t.endswith(" {v}.") for t in wordings.held_out), attribute
        assert len(wordings.questions) == 3
        assert all("{v}" not in question for question in wordings.questions)


def test_another_seed_makes_another_world(world: World) -> None:
    from sft_probe.world import build

    other = build(1)
    assert other.population.people[0] != world.population.people[0]
    assert build(0) == world
