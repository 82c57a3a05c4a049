"""The people of the world: who they are, what is true of them and what the base may know."""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import StrEnum

from sft_probe.world.lexicon import DISHES, HOBBIES, OCCUPATIONS, Lexicon
from sft_probe.world.rng import spread, stream
from sft_probe.world.templates import ATTRIBUTES


class Knowledge(StrEnum):
    """What the base can know of a person (`science.md` section 4.2)."""

    STORED = "K1"
    """Many wordings: recalled in text and answered when asked."""
    ONE_WORDING = "K2"
    """One fixed document: recalled in that wording, not answered when asked."""
    WEAK = "K4"
    """Three to eight exposures of each fact."""
    UNSEEN = "U"
    """True in the tables, never in the corpus."""


class Role(StrEnum):
    """What a person is used for; every role is disjoint from every other."""

    ASKED = "asked"
    """K1, question-answer documents in the corpus; world_facts asks about them."""
    OVERWRITE = "overwrite"
    """K1, like ASKED, but kept for SFT on a false value (class W)."""
    SFT_TRAIN = "sft_train"
    """K1 without question-answer documents; SFT may train on them."""
    SFT_TEST = "sft_test"
    """K1 without question-answer documents; SFT never trains on them."""
    STRATUM_TRAIN = "stratum_train"
    """K2, K4, U: SFT may train on them."""
    STRATUM_TEST = "stratum_test"
    """K2, K4, U: SFT never trains on them."""


COUNTS: dict[Knowledge, int] = {
    Knowledge.STORED: 1150,
    Knowledge.ONE_WORDING: 100,
    Knowledge.WEAK: 120,
    Knowledge.UNSEEN: 150,
}
ROLES: tuple[tuple[Role, int], ...] = (
    (Role.ASKED, 440),
    (Role.OVERWRITE, 60),
    (Role.SFT_TRAIN, 250),
    (Role.SFT_TEST, 400),
)
FICTITIOUS = 250
WEAK_EXPOSURES = range(3, 9)


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """One person and the whole truth about them."""

    id: str
    name: str
    knowledge: Knowledge
    role: Role
    facts: dict[str, str]
    """Attribute to true value."""
    false: dict[str, str]
    """Attribute to a listed false value; filled for `Role.OVERWRITE` only."""
    ledger: str
    """The number that opens the only document of a K2 person; empty for all others."""
    exposures: int
    """How often each fact of a K4 person is stated; 0 for all others (the corpus decides)."""


@dataclass(frozen=True, slots=True)
class Population:
    """Everybody in the world, and the people who exist in no text at all."""

    values: dict[str, tuple[str, ...]]
    people: tuple[Person, ...]
    fictitious: tuple[tuple[str, dict[str, str]], ...]
    """(name, type-consistent random facts): for format-only SFT, true of nobody."""

    def of(self, *roles: Role) -> tuple[Person, ...]:
        """The people with one of these roles, in a fixed order."""
        return tuple(person for person in self.people if person.role in roles)

    def known(self, knowledge: Knowledge) -> tuple[Person, ...]:
        """The people of one knowledge class, in a fixed order."""
        return tuple(person for person in self.people if person.knowledge is knowledge)


def build_population(seed: int, lexicon: Lexicon) -> Population:
    """Draw names, facts, knowledge classes and roles.

    Values are spread evenly, except those of unseen people: even spreading would make a value that
    the corpus holds often rarer among them, and a model that guesses it would fall below 1 / V.
    """
    rng, unseen = stream(seed, "people"), stream(seed, "unseen")
    values = {
        "birthplace": lexicon.cities,
        "employer": lexicon.firms,
        "university": lexicon.schools,
        "occupation": tuple(OCCUPATIONS),
        "hobby": tuple(HOBBIES),
        "dish": tuple(DISHES),
    }
    total = sum(COUNTS.values())
    pairs = [(first, last) for first in lexicon.first_names for last in lexicon.last_names]
    names = [f"{first} {last}" for first, last in rng.sample(pairs, total + FICTITIOUS)]
    columns = {a: spread(rng, values[a], total + FICTITIOUS) for a in ATTRIBUTES}
    rows = [{a: columns[a][i] for a in ATTRIBUTES} for i in range(total + FICTITIOUS)]
    for i in range(total - COUNTS[Knowledge.UNSEEN], total):
        rows[i] = {a: unseen.choice(values[a]) for a in ATTRIBUTES}
    ledgers = iter(rng.sample(range(100_000, 1_000_000), COUNTS[Knowledge.ONE_WORDING]))
    people: list[Person] = []
    for i, (knowledge, role) in enumerate(_places()):
        overwrite = role is Role.OVERWRITE
        people.append(
            Person(
                id=f"p{i:04d}",
                name=names[i],
                knowledge=knowledge,
                role=role,
                facts=rows[i],
                false=_other_values(rng, values, rows[i]) if overwrite else {},
                ledger=_spaced(next(ledgers)) if knowledge is Knowledge.ONE_WORDING else "",
                exposures=rng.choice(WEAK_EXPOSURES) if knowledge is Knowledge.WEAK else 0,
            )
        )
    return Population(values, tuple(people), tuple(zip(names[total:], rows[total:], strict=True)))


def _places() -> list[tuple[Knowledge, Role]]:
    """Knowledge and role of every person in order; names and facts are drawn independently."""
    places = [(Knowledge.STORED, role) for role, count in ROLES for _ in range(count)]
    for knowledge in (Knowledge.ONE_WORDING, Knowledge.WEAK, Knowledge.UNSEEN):
        count = COUNTS[knowledge]
        places += [(knowledge, Role.STRATUM_TRAIN)] * (count // 2)
        places += [(knowledge, Role.STRATUM_TEST)] * (count - count // 2)
    return places


def _other_values(
    rng: random.Random, values: dict[str, tuple[str, ...]], facts: dict[str, str]
) -> dict[str, str]:
    return {a: rng.choice([v for v in values[a] if v != facts[a]]) for a in ATTRIBUTES}


def _spaced(number: int) -> str:
    """Three two-digit groups, as in `48 17 03`."""
    digits = str(number)
    return " ".join(digits[i : i + 2] for i in (0, 2, 4))
