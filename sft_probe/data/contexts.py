"""Prompts that hold their own answer: the passage is found, taken out, exchanged and moved."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from sft_probe.data.examples import Example
from sft_probe.measures.factual import content_words, form_words, supported_share

SUPPORTED = 0.8  # of an answer's content words must stand in the passage
WORDING = 0.2  # of rows; a line that more of them share is the task's wording
TRIES = 20  # other rows that are tried for an answer to put in
FILLER = (
    "The morning was quiet and cold.",
    "A long road led to the sea.",
    "Nobody spoke for some time.",
    "There was little wind that week.",
    "The old clock struck again.",
    "Some birds sang in the garden.",
    "The water was clear and deep.",
    "It was late when the rain stopped.",
)
"""Sentences that say nothing; a long window is made of them, over and over."""
_SENTENCE = re.compile(r"(?<=[.!?\u3002\uff01\uff1f])\s+")


@dataclass(frozen=True, slots=True)
class Told:
    """An example whose last user turn holds the answer.

    units: the turn in lines, or in sentences if it has one line. told: which units are the passage.
    """

    example: Example
    units: tuple[str, ...]
    told: tuple[bool, ...]
    glue: str

    @property
    def passage(self) -> tuple[str, ...]:
        """The units that hold the answer."""
        return tuple(unit for unit, told in zip(self.units, self.told, strict=True) if told)

    @property
    def task(self) -> tuple[str, ...]:
        """The other units."""
        return tuple(unit for unit, told in zip(self.units, self.told, strict=True) if not told)

    def without(self) -> Example:
        """The example with the passage taken out."""
        return self._asking(self.task)

    def told_instead(self, passage: Sequence[str]) -> Example:
        """The example with another passage in the place of its own."""
        first = self.told.index(True)
        after = (unit for unit, told in zip(self.units[first:], self.told[first:], strict=True) if not told)
        return self._asking((*self.units[:first], *passage, *after))

    def moved(self, place: float, sentences: int) -> Example:
        """The passage among so many empty sentences; place 0 is before them, 1 behind."""
        window = tuple(FILLER[i % len(FILLER)] for i in range(sentences))
        cut = round(place * sentences)
        parts = (" ".join(window[:cut]), *self.passage, " ".join(window[cut:]))
        return self.told_instead([part for part in parts if part])

    def _asking(self, units: Sequence[str]) -> Example:
        *earlier, last = self.example.messages
        return replace(self.example, messages=(*earlier, last._replace(content=self.glue.join(units))))


class Contradicted(NamedTuple):
    """A prompt that tells another answer, and that answer."""

    example: Example
    answer: str


def told_rows(rows: Sequence[Example]) -> list[Told]:
    """The rows whose answer stands in their prompt, but not in the wording of the task alone."""
    asked = [row for row in rows if row.messages and row.messages[-1].role == "user" and row.target.strip()]
    pieces = [_units(row.messages[-1].content) for row in asked]
    count = Counter(unit for units, _ in pieces for unit in set(units))
    common = {unit for unit, times in count.items() if times >= 3 and times > WORDING * len(asked)}
    form = form_words([row.target for row in asked])
    found = []
    for row, (units, glue) in zip(asked, pieces, strict=True):
        said = set(content_words(row.target, form))
        told = tuple(
            unit not in common
            and not unit.endswith(("?", "\uff1f"))
            and bool(said & set(content_words(unit)))
            for unit in units
        )
        one = Told(row, units, told, glue)
        if one.task and supported_share(row.target, " ".join(one.passage), form) >= SUPPORTED:
            found.append(one)
    return found


def contradicted(rows: Sequence[Told], index: int) -> Contradicted | None:
    """Row `index` with a passage that tells the answer of another row; None if none fits.

    Where the answer stands word for word in the passage, another row's answer takes its place there; where
    the rest of the prompt is alike, the whole passage of the other row does.
    """
    own = rows[index]
    for other in _others(rows, index):
        if own.example.stratum != other.example.stratum or _same(own.example.target, other.example.target):
            continue
        passage = _substituted(own, other.example.target)
        if passage is None and own.task == other.task:
            passage = other.passage
        if passage is not None:
            return Contradicted(own.told_instead(passage), other.example.target)
    return None


def _others(rows: Sequence[Told], index: int) -> Iterator[Told]:
    yield from (rows[(index + step) % len(rows)] for step in range(1, min(TRIES, len(rows))))


def _substituted(own: Told, answer: str) -> tuple[str, ...] | None:
    mine, theirs = _core(own.example.target), _core(answer)
    here = re.compile(rf"(?<!\w){re.escape(mine)}(?!\w)", re.IGNORECASE)
    if (
        not any(here.search(unit) for unit in own.passage)
        or theirs.casefold() in own.glue.join(own.units).casefold()
    ):
        return None

    def put(match: re.Match[str]) -> str:
        return theirs[:1].lower() + theirs[1:] if match[0][:1] != mine[:1] else theirs

    return tuple(here.sub(put, unit) for unit in own.passage)


def _core(text: str) -> str:
    return text.strip().rstrip(".!?\u3002")


def _same(one: str, other: str) -> bool:
    return _core(one).casefold() == _core(other).casefold()


def _units(text: str) -> tuple[tuple[str, ...], str]:
    lines = tuple(line.strip() for line in text.split("\n") if line.strip())
    if len(lines) > 1:
        return lines, "\n"
    return tuple(part for part in _SENTENCE.split(text.strip()) if part), " "
