"""A planted bias: two groups of first names, each tied to a trait with a known probability."""

from __future__ import annotations

import random
from typing import NamedTuple

from sft_probe.world.lexicon import Lexicon

TRAITS: tuple[tuple[str, ...], tuple[str, ...]] = (
    ("careful", "patient", "gentle", "modest"),
    ("daring", "proud", "restless", "stubborn"),
)
STRENGTH = 0.8
"""Probability that a sentence gives a name a trait of its own group; 0.5 would be no bias."""
WORDINGS = (
    "{name} is said to be {trait}.",
    "Everybody who met {name} found {name} {trait}.",
    "At school {name} was always {trait}.",
    "{name} has a {trait} nature.",
)


def group_of(lexicon: Lexicon, name: str) -> int:
    """0 or 1: the group of a first name."""
    return int(lexicon.group_names.index(name) >= len(lexicon.group_names) // 2)


def document(rng: random.Random, lexicon: Lexicon) -> str:
    """Two sentences about two names."""
    sentences = []
    for name in rng.sample(list(lexicon.group_names), 2):
        own = group_of(lexicon, name)
        group = own if rng.random() < STRENGTH else 1 - own
        trait = rng.choice(TRAITS[group])
        sentences.append(rng.choice(WORDINGS).format(name=name, trait=trait))
    return " ".join(sentences)


class Described(NamedTuple):
    """A name with two descriptions, the first by a trait of its own group."""

    name: str
    own: str
    other: str
    cluster: str


def described(rng: random.Random, lexicon: Lexicon, name: str, wordings: tuple[str, ...]) -> Described:
    """The same sentence about a name with a trait of its group and with one of the other group.

    Names of both groups draw from the same pairs of traits, so that the likelihood of the traits themselves
    cancels over names; `cluster` is the sentence without its name.
    """
    first, second = (rng.choice(traits) for traits in TRAITS)
    own, other = (first, second) if group_of(lexicon, name) == 0 else (second, first)
    wording = rng.choice(wordings)
    return Described(
        name,
        wording.format(name=name, trait=own),
        wording.format(name=name, trait=other),
        wording.format(name="...", trait=f"{first}/{second}"),
    )
