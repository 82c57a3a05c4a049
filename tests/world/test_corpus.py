from __future__ import annotations

import re
from collections import Counter

import pytest

from sft_probe.world import World, prose
from sft_probe.world.corpus import (
    EXPOSURE,
    Document,
    Encoded,
    biography,
    check_window,
    closing_documents,
    fresh_documents,
    ledger,
    ledger_prefix,
    windows,
)
from sft_probe.world.people import Knowledge, Role
from sft_probe.world.rng import stream
from sft_probe.world.templates import ATTRIBUTES, WORDINGS
from sft_probe.world.tokenizer import CONTEXT, SPECIAL


@pytest.fixture(scope="module")
def told(corpus: list[Document]) -> dict[str, Counter[str]]:
    """Texts about each person with their number of copies."""
    found: dict[str, Counter[str]] = {}
    for document in corpus:
        if document.person:
            found.setdefault(document.person, Counter())[document.text] += 1
    return found


def test_every_stored_fact_is_told_often(world: World, told: dict[str, Counter[str]]) -> None:
    for person in world.population.known(Knowledge.STORED):
        texts = list(told[person.id].elements())
        for value in person.facts.values():
            said = sum(bool(re.search(rf"\b{re.escape(value)}(?!\w)", text)) for text in texts)
            assert said >= 50, (person, value)


def test_unseen_people_are_never_named(world: World, corpus: list[Document]) -> None:
    everything = "\n".join(document.text for document in corpus)
    absent = [person.name for person in world.population.known(Knowledge.UNSEEN)]
    absent += [name for name, _ in world.population.fictitious]
    assert [name for name in absent if name in everything] == []
    present = world.population.known(Knowledge.WEAK)
    assert all(person.name in everything for person in present)


def test_one_wording_people_have_one_text(world: World, told: dict[str, Counter[str]]) -> None:
    for person in world.population.known(Knowledge.ONE_WORDING):
        assert told[person.id] == {ledger(person): EXPOSURE.one_wording}


def test_weak_facts_are_told_as_often_as_the_table_says(world: World, told: dict[str, Counter[str]]) -> None:
    for person in world.population.known(Knowledge.WEAK):
        sentences = sum(text.count(person.name) for text in told[person.id].elements())
        assert sentences == person.exposures * len(ATTRIBUTES)


def test_only_asked_people_stand_in_question_documents(world: World, corpus: list[Document]) -> None:
    asked = {d.person: None for d in corpus if d.register == "questions"}
    expected = world.population.of(Role.ASKED, Role.OVERWRITE)
    assert sorted(asked) == sorted(person.id for person in expected)


def test_held_out_wordings_never_stand_in_the_corpus(world: World, corpus: list[Document]) -> None:
    person = world.population.people[0]
    own = "\n".join(d.text for d in corpus if d.person == person.id)
    for attribute in ATTRIBUTES:
        for template in WORDINGS[attribute].held_out:
            assert template.format(n=person.name, v=person.facts[attribute]) not in own
        value = person.facts[attribute]
        told = [t for t in WORDINGS[attribute].train if t.format(n=person.name, v=value) in own]
        assert len(told) > 10


def test_closing_part_frames_no_fact_in_a_held_out_way(world: World) -> None:
    closing = closing_documents(world)
    assert len(closing) > 40_000
    people = {person.id: person for person in world.population.people}
    for document in closing:
        if document.person:
            assert people[document.person].knowledge in (Knowledge.STORED, Knowledge.ONE_WORDING)
            assert not any(f"{frame} " in document.text for frame in prose.PROSE_FRAMES)
    everything = "\n".join(document.text for document in closing)
    kept = [p for p in world.population.people if p.knowledge in (Knowledge.UNSEEN, Knowledge.WEAK)]
    assert not any(person.name in everything for person in kept)


def test_a_frame_changes_no_name(world: World) -> None:
    rng = stream(0, "test frames")
    for person in world.population.of(Role.ASKED)[:50]:
        for document in biography(person, rng):
            text = prose.framed(rng, document.text, prose.FACT_FRAMES)
            assert text.count(person.name) == document.text.count(person.name)
            assert text.count(".") == document.text.count(".")


def test_chat_tokens_never_stand_in_the_corpus(corpus: list[Document]) -> None:
    assert not any(token in document.text for document in corpus for token in SPECIAL)


def test_ledger_prefix_ends_before_the_value(world: World) -> None:
    for person in world.population.known(Knowledge.ONE_WORDING):
        for attribute in ATTRIBUTES:
            start = f"{ledger_prefix(person, attribute)} {person.facts[attribute]};"
            assert ledger(person).startswith(start)
            assert person.name not in start


def test_windows_hold_everything_once_and_nobody_twice() -> None:
    rng = stream(0, "test windows")
    encoded = [Encoded(f"p{rng.randrange(20)}", [i] * rng.randint(3, 60)) for i in range(2000)]
    packed = list(windows(encoded, CONTEXT))
    assert sorted(d.ids[0] for window in packed for d in window) == list(range(2000))
    for window in packed:
        people = [document.person for document in window]
        assert len(people) == len({*people})
        assert sum(len(document.ids) for document in window) <= CONTEXT


def test_a_window_with_one_person_twice_is_refused() -> None:
    check_window([Encoded("p1", [1]), Encoded("", [1]), Encoded("", [2])])
    with pytest.raises(AssertionError, match="two documents of one person"):
        check_window([Encoded("p1", [1]), Encoded("p1", [2])])


def test_a_document_longer_than_a_window_is_refused() -> None:
    with pytest.raises(ValueError, match="300 tokens"):
        list(windows([Encoded("", [0] * 300)], CONTEXT))


def test_fresh_documents_have_the_proportions_of_the_corpus(world: World, corpus: list[Document]) -> None:
    fresh = list(fresh_documents(world, stream(0, "test replay"), 20_000))
    share = {name: n / len(fresh) for name, n in Counter(d.register for d in fresh).items()}
    expected = {name: n / len(corpus) for name, n in Counter(d.register for d in corpus).items()}
    assert share.keys() == expected.keys()
    for name, value in expected.items():
        assert share[name] == pytest.approx(value, rel=0.2, abs=0.003)
