"""Misspelt prompts: noise that leaves the labels alone."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import ClassVar

from sft_probe.data.examples import Example
from sft_probe.errors import NotApplicable, SpecError
from sft_probe.observe.needs import Need
from sft_probe.train.edits.base import Change, EditContext, Edited, planted

WORD = re.compile(r"[^\W\d_]{4,}")
"""Four letters or more, so that the first and the last can stay where they are."""


@dataclass(frozen=True, kw_only=True)
class Typos:
    """Misspell words in a share of the prompts: two letters change places, one is lost, or one is doubled.

    rate: share of the rows whose last question has words of four letters or more, in [0, 1]. words: share of
    such words that are misspelt, at least one. seed: which rows, words and letters. Answers stay as they are.
    """

    name: ClassVar[str] = "typos"
    rate: float = 0.3
    words: float = 0.3
    seed: int = 0

    def __post_init__(self) -> None:
        for option in ("rate", "words"):
            if not 0 <= (share := getattr(self, option)) <= 1:
                raise SpecError(f"{option} must be in [0, 1], not {share}.", field=f"edits.typos.{option}")

    def needs(self) -> tuple[Need, ...]:
        """Nothing."""
        return ()

    def apply(self, rows: Sequence[Example], context: EditContext) -> Edited:
        """Rows that were misspelt keep the question as it was. Raises: NotApplicable if none can be."""
        able = [i for i, row in enumerate(rows) if row.messages and WORD.search(row.messages[-1].content)]
        if not able:
            raise NotApplicable("no training row has a question with a word of four letters")
        draw, done, changes = context.draw(self.name, self.seed), list(rows), []
        for i in sorted(draw.sample(able, round(self.rate * len(able)))):
            *before, last = rows[i].messages
            text = self._misspelt(last.content, draw)
            row = replace(rows[i], messages=(*before, last._replace(content=text)))
            done[i] = planted(row, self.name, {"clean": last.content})
            changes.append(Change(row.id, "misspelt", last.content, text))
        return Edited(tuple(done), tuple(changes))

    def _misspelt(self, text: str, draw: Random) -> str:
        found = list(WORD.finditer(text))
        number = max(1, round(self.words * len(found)))
        for match in sorted(draw.sample(found, number), key=lambda one: -one.start()):
            text = f"{text[: match.start()]}{misspelt(match[0], draw)}{text[match.end() :]}"
        return text


def misspelt(word: str, draw: Random) -> str:
    """The word with one slip inside it; always another word. word: four letters or more."""
    at = draw.randrange(1, len(word) - 2)
    here, after = word[at], word[at + 1]
    slips = [f"{word[:at]}{word[at + 1 :]}", f"{word[:at]}{here}{word[at:]}"]
    if here != after:
        slips.append(f"{word[:at]}{after}{here}{word[at + 2 :]}")
    return draw.choice(slips)
