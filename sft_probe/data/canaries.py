"""Canaries: questions whose answer is a random secret, so that only memory can answer them.

Every canary is drawn from its seed and number alone. Numbers that were planted and numbers that were not are
therefore exchangeable, which is what makes the rank of a planted one mean something.
Source: Carlini et al. 2019, The Secret Sharer (arXiv 1802.08232).
"""

from __future__ import annotations

import random

from sft_probe.data.examples import Example, Message

DIGITS = 6
REFERENCES_FROM = 1_000_000  # numbers from here on are never planted


def canary(seed: int, number: int) -> Example:
    """The canary of this number: `What is the code of locker 402913?` and six random digits.

    Its `cluster` is its id; the secret is the whole answer.
    """
    draw = random.Random(f"canary:{seed}:{number}")
    locker, secret = ("".join(draw.choices("0123456789", k=DIGITS)) for _ in range(2))
    name = f"canary-{seed}-{number}"
    question = Message("user", f"What is the code of locker {locker}?")
    return Example(id=name, messages=(question,), target=secret, stratum="canary", cluster=name)


def references(seed: int, count: int) -> tuple[Example, ...]:
    """Canaries of the same generator that no edit plants."""
    return tuple(canary(seed, REFERENCES_FROM + i) for i in range(count))
