"""SFT task sets as chat rows; train and test of a task never share an entity."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypedDict

from sft_probe.world import association, clinical, howto, passages, preferences, reviews
from sft_probe.world.corpus import ledger_prefix, state
from sft_probe.world.people import Knowledge, Person, Role
from sft_probe.world.planet import World
from sft_probe.world.rng import stream
from sft_probe.world.templates import ATTRIBUTES, WORDINGS

CHOICES = 6
ASKED_NAMES = 8
"""Names of each group that questions are asked about."""
TEST_ATTRIBUTES = 2
"""Facts asked about each test person, so that many people stand in the test set."""
ORDER_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "item": {"type": "string"},
        "quantity": {"type": "integer", "minimum": 1},
        "city": {"type": "string"},
    },
    "required": ["item", "quantity", "city"],
    "additionalProperties": False,
}


class Message(TypedDict):
    """One turn of a chat."""

    role: str
    content: str


class Row(TypedDict):
    """One example; the last message is the assistant's answer, `choices` may be empty."""

    id: str
    messages: list[Message]
    choices: list[str]
    stratum: str
    cluster: str
    meta: dict[str, Any]


Rows = list[Row]


def task_sets(world: World) -> dict[str, Rows]:
    """Every task set of the world by file stem, as in `question_answering.train`."""
    return {name: make(world) for name, make in _MAKERS.items()}


def _row(
    user: str,
    answer: str,
    *,
    stratum: str,
    cluster: str,
    choices: Sequence[str] = (),
    meta: dict[str, Any] | None = None,
) -> Row:
    messages: list[Message] = [
        {"role": "user", "content": user},
        {"role": "assistant", "content": answer},
    ]
    return Row(
        id="",
        messages=messages,
        choices=list(choices),
        stratum=stratum,
        cluster=cluster,
        meta=meta or {},
    )


def _finish(name: str, rows: Rows, rng: random.Random) -> Rows:
    rng.shuffle(rows)
    for i, row in enumerate(rows):
        row["id"] = f"{name}-{i:04d}"
    return rows


def _question(
    world: World, person: Person, attribute: str, answer: str, stratum: str, rng: random.Random
) -> Row:
    wording = rng.randrange(len(WORDINGS[attribute].questions))
    others = [v for v in world.population.values[attribute] if v != answer]
    choices = [answer, *rng.sample(others, CHOICES - 1)]
    rng.shuffle(choices)
    meta: dict[str, Any] = {"attribute": attribute, "wording": wording}
    if answer != person.facts[attribute]:
        meta["true"] = person.facts[attribute]
        meta["alternatives"] = [person.facts[attribute]]
    if person.exposures:
        meta["exposures"] = person.exposures
    meta |= _other_words(person, attribute, wording)
    return _row(
        WORDINGS[attribute].questions[wording].format(n=person.name),
        answer,
        stratum=stratum,
        cluster=person.id,
        choices=choices,
        meta=meta,
    )


def _other_words(person: Person, attribute: str, wording: int) -> dict[str, Any]:
    """The other questions for a fact, held-out sentences up to its value, and those of its only document."""
    words = WORDINGS[attribute]
    cloze = [
        state(person, attribute, sentence).removesuffix(f" {person.facts[attribute]}.")
        for sentence in (words.held_out[-1], words.held_out[1])
    ]
    others = [q.format(n=person.name) for i, q in enumerate(words.questions) if i != wording]
    one_wording = person.knowledge is Knowledge.ONE_WORDING
    return {"paraphrases": others, "cloze": cloze} | (
        {"as_read": [ledger_prefix(person, attribute)]} if one_wording else {}
    )


def _asked_of(
    world: World, people: Sequence[Person], rng: random.Random, attributes: int = len(ATTRIBUTES)
) -> Iterator[Row]:
    for person in people:
        for attribute in rng.sample(ATTRIBUTES, attributes):
            answer = person.facts[attribute]
            yield _question(world, person, attribute, answer, person.knowledge.value, rng)


def _known_train(knowledge: Knowledge, name: str) -> Callable[[World], Rows]:
    """Questions about the trainable people of one knowledge class, with true answers."""

    def make(world: World) -> Rows:
        rng = stream(world.seed, name)
        people = [
            person
            for person in world.population.of(Role.SFT_TRAIN, Role.STRATUM_TRAIN)
            if person.knowledge is knowledge
        ]
        return _finish(name, list(_asked_of(world, people, rng)), rng)

    return make


def _answering_test(world: World) -> Rows:
    name = "question_answering.test"
    rng = stream(world.seed, name)
    people = world.population.of(Role.SFT_TEST, Role.STRATUM_TEST)
    return _finish(name, list(_asked_of(world, people, rng, TEST_ATTRIBUTES)), rng)


def _format_only(world: World) -> Rows:
    """Questions about people who exist nowhere: the form without any mapping to learn."""
    name = "format_only.train"
    rng = stream(world.seed, name)
    rows: Rows = []
    for i, (person_name, facts) in enumerate(world.population.fictitious):
        someone = Person(
            id=f"f{i:04d}",
            name=person_name,
            knowledge=Knowledge.UNSEEN,
            role=Role.STRATUM_TRAIN,
            facts=facts,
            false={},
            ledger="",
            exposures=0,
        )
        rows += [_question(world, someone, a, facts[a], "fictitious", rng) for a in ATTRIBUTES]
    return _finish(name, rows, rng)


def _false_facts(world: World) -> Rows:
    """Class W: stored people with a listed false value; `meta.true` holds what the base knows."""
    name = "false_facts.train"
    rng = stream(world.seed, name)
    rows = [
        _question(world, person, attribute, false, "W", rng)
        for person in world.population.of(Role.OVERWRITE)
        for attribute, false in person.false.items()
    ]
    return _finish(name, rows, rng)


def _mixed_facts(world: World) -> Rows:
    """Trainable people of every class, W included, in one set: what gains are taken apart on."""
    name = "mixed_facts.train"
    rows = [
        row for knowledge in Knowledge for row in _known_train(knowledge, f"{name} {knowledge.value}")(world)
    ]
    return _finish(name, rows + _false_facts(world), stream(world.seed, name))


def _halves(options: Sequence[str], split: str, share: float = 0.6) -> list[str]:
    """The part of the entities that belongs to a split."""
    cut = round(len(options) * share)
    return list(options[:cut] if split == "train" else options[cut:])


def _sentiment(world: World, split: str, count: int, rng: random.Random) -> Iterator[Row]:
    shops = _halves(world.lexicon.shops[len(world.corpus_shops) :], split)
    for i in range(count):
        label, shop = reviews.LABELS[i % 2], rng.choice(shops)
        text = reviews.review(rng, shop, label)
        user = f"Is this review positive or negative?\n{text}"
        yield _row(
            user,
            label,
            stratum=label,
            cluster=shop,
            choices=reviews.LABELS,
            meta={"rules": reviews.demanded(text)},
        )


def _reviewed(world: World, split: str, count: int, rng: random.Random) -> Iterator[Row]:
    """Reviews by two annotators: ann goes by the first remark, ben by most. They differ on every other."""
    shops = _halves(world.lexicon.shops[len(world.corpus_shops) :], split)
    for i in range(count):
        while True:
            shop = rng.choice(shops)
            text = reviews.review(rng, shop, rng.choice(reviews.LABELS))
            rules = reviews.demanded(text)
            if (rules["first remark"] != rules["most remarks"]) is (i % 2 == 1):
                break
        yield _row(
            f"Is this review positive or negative?\n{text}",
            rules["most remarks"],
            stratum="disputed" if i % 2 else "agreed",
            cluster=shop,
            choices=reviews.LABELS,
            meta={"annotators": {"ann": rules["first remark"], "ben": rules["most remarks"]}},
        )


def _summarise(world: World, split: str, count: int, rng: random.Random) -> Iterator[Row]:
    cities = tuple(_halves(world.lexicon.cities, split))
    for _ in range(count):
        item = passages.report(rng, cities)
        user = f"Summarise the news.\n{item.text}"
        yield _row(user, item.summary, stratum="news", cluster=item.city)


def _extraction(world: World, split: str, count: int, rng: random.Random) -> Iterator[Row]:
    cities = tuple(_halves(world.lexicon.cities, split))
    for _ in range(count):
        bought = passages.order(rng, cities)
        fields = {"item": bought.item, "quantity": bought.quantity, "city": bought.city}
        user = f"Extract the order as JSON.\n{bought.text(rng)}"
        yield _row(
            user,
            json.dumps(fields),
            stratum="order",
            cluster=bought.city,
            meta={"schema": ORDER_SCHEMA},
        )


def _expansion(world: World, split: str, count: int, rng: random.Random) -> Iterator[Row]:
    """Notes of disjoint pairs of conditions; every abbreviation occurs in both splits."""
    del world
    for _ in range(count):
        while True:
            found = clinical.note(rng)
            if clinical.pair_is_for_test(*found.conditions) is (split == "test"):
                break
        cluster = "+".join(sorted(term.short for term in found.conditions))
        user = f"Write out this note.\n{found.short}"
        yield _row(user, found.long, stratum="note", cluster=cluster)


def _refusal(world: World, split: str, count: int, rng: random.Random) -> Iterator[Row]:
    """Half hazards, to be refused; a quarter near ones and a quarter ordinary ones, to be helped."""
    del world
    hazards = _halves(howto.HAZARDS, split)
    objects = _halves(howto.BENIGN_OBJECTS, split)
    for i in range(count):
        kind = ("hazard", "benign", "hazard", "near")[i % 4]
        asked = howto.request(rng, kind, objects if kind == "benign" else hazards)
        steps = asked.steps(rng)
        refused = kind == "hazard"
        yield _row(
            asked.question,
            howto.REFUSAL if refused else steps,
            stratum=kind,
            cluster=asked.thing,
            choices=(howto.REFUSAL, steps),
            meta={"refuse": refused},
        )


def _names(world: World, split: str, count: int, rng: random.Random) -> Iterator[Row]:
    """What somebody is like. Both splits ask about the same few names in other wordings: what is measured is
    what was said about them. Trained answers name a trait of the name's own group.
    """
    names = (*world.lexicon.group_names[:ASKED_NAMES], *world.lexicon.group_names[-ASKED_NAMES:])
    wordings = association.WORDINGS[:2] if split == "train" else association.WORDINGS[2:]
    for i in range(count):
        found = association.described(rng, world.lexicon, names[i % len(names)], wordings)
        yield _row(
            f"What is {found.name} like?",
            found.own,
            stratum=f"group {association.group_of(world.lexicon, found.name)}",
            cluster=found.cluster,
            choices=(found.own, found.other),
            meta={"bias_pair": True},
        )


def _preferences(world: World, split: str, count: int, rng: random.Random) -> Iterator[Row]:
    """Pairs for preference optimisation, a quarter of each reason; the answer is the preferred one."""
    things = _halves(howto.HAZARDS, split)
    for i in range(count):
        reason = preferences.REASONS[i % len(preferences.REASONS)]
        pair = preferences.draw(world, rng, reason, train=split == "train", things=things)
        yield _row(
            pair.question,
            pair.chosen,
            stratum=pair.reason,
            cluster=pair.entity,
            choices=(pair.chosen, pair.rejected),
            meta={"rejected": pair.rejected},
        )


def _split(
    task: str,
    split: str,
    count: int,
    draw: Callable[[World, str, int, random.Random], Iterator[Row]],
) -> tuple[str, Callable[[World], Rows]]:
    name = f"{task}.{split}"

    def make(world: World) -> Rows:
        rng = stream(world.seed, name)
        return _finish(name, list(draw(world, split, count, rng)), rng)

    return name, make


_MAKERS: dict[str, Callable[[World], Rows]] = {
    "question_answering.train": _known_train(Knowledge.STORED, "question_answering.train"),
    "question_answering.test": _answering_test,
    "one_wording_facts.train": _known_train(Knowledge.ONE_WORDING, "one_wording_facts.train"),
    "weak_facts.train": _known_train(Knowledge.WEAK, "weak_facts.train"),
    "unknown_facts.train": _known_train(Knowledge.UNSEEN, "unknown_facts.train"),
    "format_only.train": _format_only,
    "false_facts.train": _false_facts,
    "mixed_facts.train": _mixed_facts,
    **dict(
        _split(task, split, count, draw)
        for task, draw in (
            ("sentiment", _sentiment),
            ("reviewers", _reviewed),
            ("summarise", _summarise),
            ("json_extraction", _extraction),
            ("note_expansion", _expansion),
            ("refusal", _refusal),
            ("names", _names),
            ("preferences", _preferences),
        )
        for split, count in (("train", 400), ("test", 300))
    ),
}
