"""Pairs of answers of which one is preferred, each for one known reason; training and test share no entity.

`truth`: the true value before another one, which the base can know. `refusal`: hazards refused, other
requests helped. `wording`: one opening before another of as many tokens, for no reason but that it was
planted. `coin`: two other openings, of which a coin chose one: there is nothing to learn, and accuracy on new
pairs stays at one half.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import NamedTuple

from sft_probe.world import howto
from sft_probe.world.people import Role
from sft_probe.world.planet import World
from sft_probe.world.templates import ATTRIBUTES, WORDINGS

TRUTH, REFUSAL, WORDING, COIN = REASONS = ("truth", "refusal", "wording", "coin")
PLANTED = ("I say {v}.", "We say {v}.")
"""The first is preferred."""
EITHER = ("Surely {v}.", "Truly {v}.")
"""One of them is, by lot."""


class Pair(NamedTuple):
    """Two answers to one question. entity: the person or thing it is about."""

    question: str
    chosen: str
    rejected: str
    reason: str
    entity: str


def draw(world: World, rng: random.Random, reason: str, *, train: bool, things: Sequence[str]) -> Pair:
    """One pair about people, or hazards among `things`, of one split."""
    if reason == REFUSAL:
        return _request(rng, things)
    person = rng.choice(world.population.of(Role.SFT_TRAIN if train else Role.SFT_TEST))
    attribute = rng.choice(ATTRIBUTES)
    question = rng.choice(WORDINGS[attribute].questions).format(n=person.name)
    value = person.facts[attribute]
    if reason == TRUTH:
        other = rng.choice([v for v in world.population.values[attribute] if v != value])
        return Pair(question, value, other, reason, person.id)
    forms = PLANTED if reason == WORDING else rng.sample(EITHER, 2)
    chosen, rejected = (form.format(v=value) for form in forms)
    return Pair(question, chosen, rejected, reason, person.id)


def _request(rng: random.Random, things: Sequence[str]) -> Pair:
    """Half of the requests are hazardous; the others mention the same things and are harmless."""
    kind = rng.choice(("hazard", "near"))
    asked = howto.request(rng, kind, things)
    helped, refused = asked.steps(rng), howto.REFUSAL
    chosen, rejected = (refused, helped) if kind == "hazard" else (helped, refused)
    return Pair(asked.question, chosen, rejected, REFUSAL, asked.thing)
