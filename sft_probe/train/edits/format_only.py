"""The form of the answers without anything to know: questions about entities that do not exist."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from sft_probe.data.examples import Example
from sft_probe.data.matching import wrong_answers
from sft_probe.errors import NotApplicable, SpecError
from sft_probe.observe.needs import Need
from sft_probe.train.edits.base import Change, EditContext, Edited, planted

LETTERS, WORD = re.compile(r"[^\W\d_]+"), re.compile(r"\w+")
ONSETS = "b d f g k l m n p r s t v z br dr gr kl pl st tr".split()
VOWELS = "a e i o u ai ea ou".split()
CODAS = ["", "", "l", "m", "n", "r", "s", "nd", "rk"]


@dataclass(frozen=True, kw_only=True)
class FormatOnly:
    """Invent the names in every question and answer it with a random answer of the right kind.

    Form and the range of answers survive; no fact that could be learned is true, and nothing the base knows
    is contradicted. A word of a question counts as name if fewer than `rare` of all entities (a
    cluster of rows, or a row) have it. answers: how many of alike questions to draw from. seed: of both.
    Kung & Peng 2023 and Min et al. 2022 train or prompt on such outputs; inventing the entities too keeps
    the arm from teaching false facts about real ones.
    """

    name: ClassVar[str] = "format_only"
    rare: float = 0.02
    answers: int = 20
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.rare <= 1 or self.answers < 1:
            raise SpecError("rare must be in (0, 1], and answers at least 1.", field="edits.format_only")

    def needs(self) -> tuple[Need, ...]:
        """Nothing."""
        return ()

    def apply(self, rows: Sequence[Example], context: EditContext) -> Edited:
        """Every row that has a name in its question, as another one; the others are left out.

        Rows say which row they were made of (`made_of`). Raises: NotApplicable if no question has a name.
        """
        names = self._names(rows)
        made: list[Example] = []
        changes = []
        for row, others in zip(rows, wrong_answers(rows, self.answers, self.seed), strict=True):
            draw = context.draw(self.name, self.seed, row.id)
            new = self._invented(row, names, draw)
            if new is row or not others:
                changes.append(Change(row.id, "left out", row.prompt, ""))
                continue
            answer = draw.choice((*others, row.target))
            made.append(planted(replace(new, target=answer, choices=()), self.name, {"made_of": row.id}))
            changes.append(Change(row.id, "invented", f"{row.prompt} {row.target}", f"{new.prompt} {answer}"))
        if not made:
            raise NotApplicable(
                "no question holds a name, a word that few rows have, which could be invented"
            )
        return Edited(tuple(made), tuple(changes))

    def _names(self, rows: Sequence[Example]) -> frozenset[str]:
        """Words of questions that few entities have."""
        held = {(word, row.cluster or row.id) for row in rows for word in WORD.findall(row.prompt)}
        limit = max(2.0, self.rare * len({group for _, group in held}))
        return frozenset(
            word for word, entities in Counter(word for word, _ in held).items() if entities < limit
        )

    def _invented(self, row: Example, names: frozenset[str], draw: random.Random) -> Example:
        """The row under another name: each name is replaced alike throughout; the same row if it has none."""
        new: dict[str, str] = {}

        def other(match: re.Match[str]) -> str:
            word = match[0]
            if word not in names:
                return word
            return new.setdefault(word, invented(word, draw))

        messages = tuple(turn._replace(content=WORD.sub(other, turn.content)) for turn in row.messages)
        if not new:
            return row
        name = " ".join(new.values())
        return replace(
            row, id=f"{row.id}~invented", messages=messages, cluster=f"invented {name}", meta={}, stratum=""
        )


def invented(word: str, draw: random.Random) -> str:
    """A word that hardly exists, with the case of the given one; digits become other digits."""
    if not LETTERS.fullmatch(word):
        parts = LETTERS.sub(lambda match: invented(match[0], draw), word)
        return "".join(draw.choice("123456789") if c.isdigit() else c for c in parts)
    syllables = range(max(1, min(3, round(len(word) / 3))))
    new = "".join(draw.choice(ONSETS) + draw.choice(VOWELS) for _ in syllables) + draw.choice(CODAS)
    if word.isupper() and len(word) > 1:
        return new.upper()
    return new.capitalize() if word[0].isupper() else new
