"""Canaries: questions whose answer is a random secret, so that only memory can answer them.

Every canary is drawn from its seed and number alone. Numbers that were planted and numbers that were not are
therefore exchangeable, which is what makes the rank of a planted one mean something. A planted row keeps the
canary's `cluster`; what was planted, how often, and from which pool of numbers is read off the rows.
Source: Carlini et al. 2019, The Secret Sharer (arXiv 1802.08232).
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sft_probe.data.examples import Example, Message

DIGITS = 6
REFERENCES_FROM = 1_000_000  # numbers from here on are never planted
EDIT = "canaries"  # under `meta["planted"]` of a planted row: {"pool": how many numbers were up for planting}
_NAME = re.compile(r"canary-(\d+)-(\d+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Planted:
    """Canaries found among training rows. repeats: rows by number, planted numbers only. pool: the numbers
    0 to pool - 1 were up for planting; 0 if the rows do not say."""

    seed: int
    repeats: Mapping[int, int]
    pool: int = 0


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


def is_canary(row: Example) -> bool:
    """The row is a canary, by its cluster."""
    return _NAME.fullmatch(row.cluster) is not None


def planted_canaries(rows: Iterable[Example]) -> Planted | None:
    """What was planted, of the first seed that occurs; None without any canary."""
    found = [(match, row) for row in rows if (match := _NAME.fullmatch(row.cluster))]
    if not found:
        return None
    seed = int(found[0][0][1])
    repeats = Counter(int(match[2]) for match, _ in found if int(match[1]) == seed)
    return Planted(seed=seed, repeats=dict(sorted(repeats.items())), pool=max(_pool(row) for _, row in found))


def _pool(row: Example) -> int:
    marks = row.meta.get("planted")
    own = marks.get(EDIT) if isinstance(marks, Mapping) else None
    pool = own.get("pool", 0) if isinstance(own, Mapping) else 0
    return pool if isinstance(pool, int) else 0
