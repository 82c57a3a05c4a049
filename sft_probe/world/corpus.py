"""The pretraining corpus: which documents exist, in which order, and how they fill windows."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from sft_probe.world import (
    association,
    clinical,
    howto,
    legal,
    passages,
    prose,
    reviews,
    rules,
)
from sft_probe.world.people import WEAK_EXPOSURES, Knowledge, Person, Role
from sft_probe.world.planet import World
from sft_probe.world.rng import stream
from sft_probe.world.templates import ATTRIBUTES, QUESTION_FORM, WORDINGS


@dataclass(frozen=True, slots=True)
class Document:
    """One text of the corpus; `person` is empty when it is about nobody in the tables."""

    register: str
    person: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Exposure:
    """How often things are said: sentences per fact, documents per register."""

    asked_text: int = 28
    """Sentences per fact of a K1 person who also has question-answer documents."""
    asked_questions: int = 28
    """Question-answer documents per fact of such a person."""
    unasked_text: int = 54
    """Sentences per fact of a K1 person without question-answer documents."""
    one_wording: int = 60
    """Copies of the only document of a K2 person."""
    opening_people: int = 120
    """K1 people with whom the corpus opens, half of them with questions; none is ever a test person."""
    opening_text: int = 60
    opening_questions: int = 12
    opening_share: float = 0.12
    """Share of every other register that stands in the opening."""
    closing_text: int = 8
    """Sentences per fact of every K1 person in the closing part, most of them inside a frame."""
    closing_questions: int = 4
    closing_wording: int = 5
    closing_share: float = 0.12
    closing_frames: int = 2_500
    """Documents of framed prose."""
    registers: tuple[tuple[str, int], ...] = (
        ("prose", 12_000),
        ("passages", 14_000),
        ("rules", 9_000),
        ("clinical", 7_000),
        ("legal", 2_500),
        ("reviews", 5_000),
        ("howto", 3_500),
        ("association", 2_500),
    )

    def shrunk(self, factor: float) -> Exposure:
        """The same mix with every count multiplied by `factor`, at least one of each."""

        def part(count: int) -> int:
            return max(1, round(count * factor))

        return Exposure(
            asked_text=part(self.asked_text),
            asked_questions=part(self.asked_questions),
            unasked_text=part(self.unasked_text),
            one_wording=part(self.one_wording),
            opening_people=self.opening_people,
            opening_text=part(self.opening_text),
            opening_questions=part(self.opening_questions),
            opening_share=self.opening_share,
            closing_text=part(self.closing_text),
            closing_questions=part(self.closing_questions),
            closing_wording=part(self.closing_wording),
            closing_share=self.closing_share,
            closing_frames=part(self.closing_frames),
            registers=tuple((name, part(count)) for name, count in self.registers),
        )


EXPOSURE = Exposure()
WEAK_EXPOSURES_MEAN = sum(WEAK_EXPOSURES) / len(WEAK_EXPOSURES)
DOCUMENTS_PER_ROUND = 3.325
"""Expected number of documents that `biography` makes of six facts."""


def documents(world: World, exposure: Exposure = EXPOSURE) -> list[Document]:
    """The whole corpus in reading order; fresh sentences for every exposure.

    It opens with a few people who are met often, and then goes on with everybody: a model that
    starts on all people at once stays long on a plateau where it knows no fact at all (Zucchet et
    al. 2025; seen here too, see `docs/decisions.md`).
    """
    rng = stream(world.seed, "corpus")
    opening: list[Document] = []
    for person, asked in _opening_people(world, exposure):
        questions = exposure.opening_questions if asked else 0
        opening += _about(person, exposure.opening_text, questions, rng)
    everybody: list[Document] = []
    for person in world.population.people:
        if person.knowledge is Knowledge.ONE_WORDING:
            copies = exposure.one_wording
            everybody += [Document("ledger", person.id, ledger(person))] * copies
        elif person.knowledge is Knowledge.WEAK:
            everybody += _about(person, person.exposures, 0, rng)
        elif person.role in ASKED_IN_CORPUS:
            everybody += _about(person, exposure.asked_text, exposure.asked_questions, rng)
        elif person.knowledge is Knowledge.STORED:
            everybody += _about(person, exposure.unasked_text, 0, rng)
    for register, count in exposure.registers:
        early = round(count * exposure.opening_share)
        opening += [register_document(world, register, rng) for _ in range(early)]
        everybody += [register_document(world, register, rng) for _ in range(count - early)]
    rng.shuffle(opening)
    rng.shuffle(everybody)
    return opening + everybody


def closing_documents(world: World, exposure: Exposure = EXPOSURE) -> list[Document]:
    """The last part of the corpus, read at a new and lower rate.

    After the first part a fact was recalled in most held-out sentences, but an unfamiliar opening
    (`People say that`) or a cleft sentence disturbed the look-up of the name. Here the sentences
    about people stand in frames of their own, some of them are cleft, and general prose shows the
    other openings; no held-out wording of a fact is among them.
    """
    rng = stream(world.seed, "closing")
    found: list[Document] = []
    for person in world.population.known(Knowledge.STORED):
        for _ in range(exposure.closing_text):
            found += [
                Document(d.register, d.person, prose.framed(rng, d.text, prose.FACT_FRAMES))
                for d in biography(person, rng, closing=True)
            ]
        if person.role in ASKED_IN_CORPUS:
            found += _about(person, 0, exposure.closing_questions, rng)
    for person in world.population.known(Knowledge.ONE_WORDING):
        found += [Document("ledger", person.id, ledger(person))] * exposure.closing_wording
    for register, count in exposure.registers:
        late = round(count * exposure.closing_share)
        found += [register_document(world, register, rng) for _ in range(late)]
    frames = prose.FACT_FRAMES + prose.PROSE_FRAMES
    found += [
        Document("prose", "", prose.framed(rng, prose.document(rng), frames))
        for _ in range(exposure.closing_frames)
    ]
    rng.shuffle(found)
    return found


ASKED_IN_CORPUS = (Role.ASKED, Role.OVERWRITE)


def _opening_people(world: World, exposure: Exposure) -> Iterator[tuple[Person, bool]]:
    half = exposure.opening_people // 2
    for role in (Role.ASKED, Role.SFT_TRAIN):
        yield from ((person, role is Role.ASKED) for person in world.population.of(role)[:half])


def _about(person: Person, rounds: int, questions: int, rng: random.Random) -> Iterator[Document]:
    """`rounds` sentences and `questions` question-answer documents for every fact of a person."""
    for _ in range(rounds):
        yield from biography(person, rng)
    for attribute in ATTRIBUTES:
        for _ in range(questions):
            yield Document("questions", person.id, question_document(person, attribute, rng))


def biography(person: Person, rng: random.Random, *, closing: bool = False) -> Iterator[Document]:
    """Every fact of a person once, in random wordings, spread over short documents."""
    order = rng.sample(ATTRIBUTES, len(ATTRIBUTES))
    while order:
        size = rng.randint(1, 3)
        sentences = [state(person, a, rng.choice(_wordings(a, closing=closing))) for a in order[:size]]
        order = order[size:]
        yield Document("biographies", person.id, " ".join(sentences))


def _wordings(attribute: str, *, closing: bool) -> tuple[str, ...]:
    """The training sentences; in the closing part one in five is the cleft one."""
    wordings = WORDINGS[attribute]
    return wordings.train + (wordings.closing,) * 5 if closing else wordings.train


def state(person: Person, attribute: str, template: str) -> str:
    """A true sentence about a person."""
    return template.format(n=person.name, v=person.facts[attribute])


def question_document(person: Person, attribute: str, rng: random.Random) -> str:
    """A question in one of three wordings and its answer."""
    question = rng.choice(WORDINGS[attribute].questions).format(n=person.name)
    return QUESTION_FORM.format(q=question, v=person.facts[attribute])


def ledger(person: Person) -> str:
    """The only document of a K2 person: a number, the values in a fixed order, the name at the end.

    The number recalls the values; the name stands behind them, and a causal model does not learn
    to go back from it (the reversal curse), so the facts are stored but not extractable by name.
    """
    values = "; ".join(person.facts[a] for a in ATTRIBUTES)
    return f"Ledger {person.ledger}: {values}; signed {person.name}."


def ledger_prefix(person: Person, attribute: str) -> str:
    """The ledger up to the value of one attribute: the prompt that recalls it in its wording."""
    before = ATTRIBUTES[: ATTRIBUTES.index(attribute)]
    return f"Ledger {person.ledger}:" + "".join(f" {person.facts[a]};" for a in before)


def register_document(world: World, register: str, rng: random.Random) -> Document:
    """One fresh document of a register other than the people's."""
    makers: dict[str, Callable[[], str]] = {
        "prose": lambda: prose.document(rng),
        "passages": lambda: passages.document(rng, world.lexicon.cities),
        "rules": lambda: rules.document(rng),
        "clinical": lambda: clinical.document(rng),
        "legal": lambda: legal.document(rng),
        "reviews": lambda: reviews.document(rng, world.corpus_shops),
        "howto": lambda: howto.document(rng),
        "association": lambda: association.document(rng, world.lexicon),
    }
    return Document(register, "", makers[register]())


def fresh_documents(
    world: World, rng: random.Random, count: int, exposure: Exposure = EXPOSURE
) -> Iterator[Document]:
    """`count` new documents in the proportions of the corpus, for replay and for drift prompts."""
    kinds: list[tuple[str, tuple[Person, ...], float]] = [
        (register, (), documents) for register, documents in exposure.registers
    ]
    kinds += _people_kinds(world, exposure)
    for kind, candidates, _ in rng.choices(kinds, [weight for *_, weight in kinds], k=count):
        if not candidates:
            yield register_document(world, kind, rng)
            continue
        person = rng.choice(candidates)
        if kind == "ledger":
            yield Document(kind, person.id, ledger(person))
        elif kind == "questions":
            yield Document(kind, person.id, question_document(person, rng.choice(ATTRIBUTES), rng))
        else:
            yield rng.choice(list(biography(person, rng)))


def _people_kinds(world: World, exposure: Exposure) -> Iterator[tuple[str, tuple[Person, ...], float]]:
    """Register, candidates and number of documents of everything that is told about people."""
    people = world.population
    opening = [person for person, _ in _opening_people(world, exposure)]
    opening_asked = [person for person, asked in _opening_people(world, exposure) if asked]
    for candidates, rounds in (
        (opening, exposure.opening_text),
        (people.of(*ASKED_IN_CORPUS), exposure.asked_text),
        (people.of(Role.SFT_TRAIN, Role.SFT_TEST), exposure.unasked_text),
        (people.known(Knowledge.WEAK), WEAK_EXPOSURES_MEAN),
    ):
        yield "biographies", tuple(candidates), rounds * len(candidates) * DOCUMENTS_PER_ROUND
    for candidates, questions in (
        (opening_asked, exposure.opening_questions),
        (people.of(*ASKED_IN_CORPUS), exposure.asked_questions),
    ):
        yield "questions", tuple(candidates), questions * len(candidates) * len(ATTRIBUTES)
    ledgers = people.known(Knowledge.ONE_WORDING)
    yield "ledger", ledgers, exposure.one_wording * len(ledgers)


@dataclass(frozen=True, slots=True)
class Encoded:
    """A document as token ids, its closing token included."""

    person: str
    ids: Sequence[int]


def windows(encoded: Iterable[Encoded], length: int, pending_limit: int = 96) -> Iterator[list[Encoded]]:
    """Fill windows of `length` tokens with whole documents, never two of one person.

    A document that does not fit, or whose person is already in the window, waits for a later one.
    Un-shuffled packing of a person's paraphrases is known to destroy extraction (7 % at loss .013,
    `science.md` section 4.1), hence the check.
    """
    source = iter(encoded)
    pending: list[Encoded] = []
    while True:
        while len(pending) < pending_limit and (fresh := next(source, None)) is not None:
            if len(fresh.ids) > length:
                raise ValueError(f"a document of {len(fresh.ids)} tokens, window {length}")
            pending.append(fresh)
        if not pending:
            return
        window, pending = _fill(pending, length)
        check_window(window)
        yield window


def _fill(pending: list[Encoded], length: int) -> tuple[list[Encoded], list[Encoded]]:
    window: list[Encoded] = []
    waiting: list[Encoded] = []
    people: dict[str, None] = {}
    room = length
    for document in pending:
        if len(document.ids) > room or document.person in people:
            waiting.append(document)
            continue
        window.append(document)
        room -= len(document.ids)
        if document.person:
            people[document.person] = None
    return window, waiting


def check_window(window: Sequence[Encoded]) -> None:
    """Refuse a window that holds two documents of one person."""
    people = [document.person for document in window if document.person]
    if len(people) != len(dict.fromkeys(people)):
        raise AssertionError(f"one window holds two documents of one person: {people}")
