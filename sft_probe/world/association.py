"""A planted bias: two groups of first names, each tied to a trait with a known probability."""

from __future__ import annotations

import random

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
