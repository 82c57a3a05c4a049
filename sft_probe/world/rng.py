"""Named random streams: the same seed and part give the same draws in every process.

`random.Random(str)` hashes the text with SHA-512 (Python's documented version-2 seeding), so a
stream depends neither on `PYTHONHASHSEED` nor on the platform. Nothing in `world` draws elsewhere.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


def stream(seed: int, part: str) -> random.Random:
    """The random stream of one named part of the world."""
    return random.Random(f"sft_probe.world:{seed}:{part}")


def spread(rng: random.Random, options: Sequence[T], count: int) -> list[T]:
    """`count` draws that use every option equally often (up to one), in random order."""
    whole, rest = divmod(count, len(options))
    drawn = [*options] * whole + rng.sample(list(options), rest)
    rng.shuffle(drawn)
    return drawn
