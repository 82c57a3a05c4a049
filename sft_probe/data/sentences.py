"""Texts taken apart into sentences, and their right next sentence among those of other texts."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace

from sft_probe.data.examples import Example

END = re.compile(r"(?<=[.!?])\s+(?=\S)|(?<=[\u3002\uff01\uff1f])")
SHORTEST = 10  # characters; what is shorter is a heading or an abbreviation, not a sentence
LONGEST = 400  # characters of the text that is read before


def sentences(text: str) -> tuple[str, ...]:
    """The sentences of a text. It ends after `.`, `!`, `?` and a space, or after their full-width forms."""
    return tuple(part.strip() for part in END.split(text) if part.strip())


def next_sentences(rows: Iterable[Example], others: int) -> list[Example]:
    """Each text up to its middle, with the sentence that follows and the next sentences of other texts.

    others: wrong ones for each. Choices are whole texts that share their beginning; choice 0, the target, is
    right. Every sentence is right once and wrong equally often, so that how likely it is by itself cancels
    out of the mean margin.
    """
    cut = [found for row in rows if (found := _cut(row))]
    following = [right for _, _, right in cut]
    made = []
    for i, (row, begun, right) in enumerate(cut):
        wrong = _wrong(following, i, others)
        if len(wrong) == others:
            choices = tuple(f"{begun} {sentence}" for sentence in (right, *wrong))
            made.append(replace(row, target=choices[0], choices=choices))
    return made


def _cut(row: Example) -> tuple[Example, str, str] | None:
    parts = sentences(row.target)
    middle = len(parts) // 2
    if not middle or len(parts[middle]) < SHORTEST:
        return None
    begun = " ".join(parts[:middle])
    return (row, begun, parts[middle]) if len(begun) <= LONGEST else None


def _wrong(following: Sequence[str], index: int, others: int) -> list[str]:
    """The next sentences of the texts behind this one, in a circle."""
    shifts = range(1, min(others, len(following) - 1) + 1)
    found = [following[(index + shift) % len(following)] for shift in shifts]
    return [sentence for sentence in dict.fromkeys(found) if sentence != following[index]]
