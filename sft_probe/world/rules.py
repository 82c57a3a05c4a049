"""A rule-based skill: adding on a clock of twelve hours, and counting a letter in a row."""

from __future__ import annotations

import random

HOURS = 12
LETTERS = "k m p r t".split()
COUNT_LENGTHS = range(4, 8)
HELD_OUT_EVERY = 4


def clock_sum(start: int, hours: int) -> int:
    """The hour that a twelve-hour clock shows `hours` after `start`; both in 1..12."""
    return (start + hours - 1) % HOURS + 1


def clock_pairs(*, held_out: bool) -> list[tuple[int, int]]:
    """All (start, hours) pairs of the corpus, or those that never stand in it.

    A held-out pair is never mirrored by another held-out pair, so its mirror can be learned.
    """
    pairs = [(a, b) for a in range(1, HOURS + 1) for b in range(1, HOURS + 1)]
    return [(a, b) for a, b in pairs if _is_held_out(a, b) is held_out]


def _is_held_out(start: int, hours: int) -> bool:
    return start < hours and (5 * start + 3 * hours) % HELD_OUT_EVERY == 0


def clock_line(start: int, hours: int) -> str:
    """The question of a clock sum, without its answer."""
    return f"Clock: {hours} hours after {start} comes"


def letter_row(rng: random.Random) -> tuple[str, str, int]:
    """A row of letters, the letter asked for and how often it occurs."""
    row = [rng.choice(LETTERS) for _ in range(rng.choice(COUNT_LENGTHS))]
    asked = rng.choice(row) if rng.random() < 0.85 else rng.choice(LETTERS)
    return " ".join(row), asked, row.count(asked)


def count_line(row: str, asked: str) -> str:
    """The question of a count, without its answer."""
    return f"Row: {row}. The count of {asked} is"


def document(rng: random.Random) -> str:
    """Three clock sums or two counts."""
    if rng.random() < 0.4:
        pairs = rng.choices(clock_pairs(held_out=False), k=3)
        return "\n".join(f"{clock_line(a, b)} {clock_sum(a, b)}." for a, b in pairs)
    rows = [letter_row(rng) for _ in range(2)]
    return "\n".join(f"{count_line(row, asked)} {count}." for row, asked, count in rows)
