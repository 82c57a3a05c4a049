from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sft_probe.world import World, association, clinical, howto, legal, passages, prose, reviews, rules

randoms = st.integers(0, 10**9).map(random.Random)


@given(rng=randoms, phenomenon=st.sampled_from(prose.PHENOMENA))
def test_a_pair_differs_by_its_violation_only(rng: random.Random, phenomenon: str) -> None:
    pair = prose.minimal_pair(rng, phenomenon)
    good, bad = pair.good.split(), pair.bad.split()
    assert len(good) == len(bad)
    changed = sum(a != b for a, b in zip(good, bad, strict=True))
    assert changed == (2 if phenomenon == "word_order" else 1)


@given(rng=randoms, number=st.integers(2, 4))
def test_a_passage_holds_its_answer(rng: random.Random, number: int) -> None:
    found = passages.passage(rng, number)
    spot = found.answer.removeprefix("On the ").removesuffix(".")
    thing = found.question.removeprefix("Where is the ").removesuffix("?")
    assert f"The {thing} is on the {spot}." in found.text
    assert found.answer not in found.others
    assert len(found.others) == number - 1


@given(start=st.integers(1, 12), hours=st.integers(1, 12))
def test_clock_sum_goes_round(start: int, hours: int) -> None:
    assert rules.clock_sum(start, hours) == rules.clock_sum(hours, start)
    assert rules.clock_sum(start, 12) == start
    assert 1 <= rules.clock_sum(start, hours) <= 12


def test_held_out_clock_pairs_have_their_mirror_in_the_corpus() -> None:
    seen, unseen = rules.clock_pairs(held_out=False), rules.clock_pairs(held_out=True)
    assert len(seen) + len(unseen) == 144
    assert len(unseen) >= 10
    assert all((b, a) in seen and (a, b) not in seen for a, b in unseen)


def test_held_out_clock_pairs_never_stand_in_documents() -> None:
    rng = random.Random(0)
    text = "\n".join(rules.document(rng) for _ in range(3000))
    assert not any(f"{rules.clock_line(a, b)} " in text for a, b in rules.clock_pairs(held_out=True))
    assert all(f"{rules.clock_line(a, b)} " in text for a, b in rules.clock_pairs(held_out=False))


@given(rng=randoms, label=st.sampled_from(reviews.LABELS))
def test_most_remarks_of_a_review_carry_its_label(rng: random.Random, label: str) -> None:
    words = reviews.review(rng, "Kevo Bakery", label).replace(",", "").replace(".", "").split()
    counts = {name: sum(word in cues for word in words) for name, cues in reviews.CUES.items()}
    assert counts[label] >= 2 > counts[reviews.LABELS[1 - reviews.LABELS.index(label)]]


@given(rng=randoms, label=st.sampled_from(reviews.LABELS))
def test_the_rules_for_a_review_are_its_label_and_its_first_remark(rng: random.Random, label: str) -> None:
    text = reviews.review(rng, "Kevo Bakery", label)
    demanded = reviews.demanded(text)
    first = text.split("was ")[1].split()[0].strip(",.")
    assert demanded["most remarks"] == label
    assert first in reviews.CUES[demanded["first remark"]]


def test_clinical_terms_are_unambiguous() -> None:
    for field in ("short", "long", "chinese"):
        column = [getattr(term, field) for term in clinical.TERMS]
        assert len(dict.fromkeys(column)) == len(column), field


@given(rng=randoms)
def test_a_note_and_its_reading_say_the_same(rng: random.Random) -> None:
    found = clinical.note(rng)
    for term in found.conditions:
        assert term.short in found.short
        assert term.long in found.long


def test_legal_definitions_are_unambiguous() -> None:
    assert len(dict.fromkeys(legal.DEFINITIONS.values())) == len(legal.DEFINITIONS)
    assert len(dict.fromkeys(legal.TRIGGERS.values())) == len(legal.TRIGGERS)


def test_refused_class_is_decided_by_verb_and_object() -> None:
    assert not {*howto.HAZARDS} & {*howto.BENIGN_OBJECTS}
    assert not {*howto.MAKE_VERBS} & {*howto.SAFE_VERBS}


def test_association_has_the_planted_strength(world: World) -> None:
    rng = random.Random(0)
    own = total = 0
    for _ in range(4000):
        for sentence in association.document(rng, world.lexicon).split(". "):
            words = sentence.strip(".").split()
            name = next(word for word in words if word in world.lexicon.group_names)
            traits = association.TRAITS[association.group_of(world.lexicon, name)]
            own += any(word in traits for word in words)
            total += 1
    assert own / total == pytest.approx(association.STRENGTH, abs=0.02)
