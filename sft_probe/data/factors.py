"""Pairs of answers that differ in one thing: the fact, the style, or the topic."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sft_probe.data.examples import Example
from sft_probe.data.matching import wrong_answers

FACT, STYLE, TOPIC = "fact", "style", "topic"
LONG = 12  # words; longer answers are restyled by case and punctuation


def varied(rows: Sequence[Example], limit: int, other_texts: Sequence[str]) -> list[Example]:
    """The first rows with, as choices, their answer and the same with another fact, style and topic.

    `meta["varied"]` says in order what each further choice varies; one that cannot be made is left out. fact:
    the answer to the most alike question. style: the same words as a sentence, or a long answer in lower case
    without punctuation. topic: as many words from a text of another data set.
    """
    asked = [row for row in rows if row.messages and row.target.strip()]
    wrong = wrong_answers(asked, 1) if len(asked) > 1 else [()] * len(asked)
    made = []
    for i, row in enumerate(asked[:limit]):
        other = other_texts[i % len(other_texts)] if other_texts else ""
        named = {
            FACT: wrong[i][0] if wrong[i] else "",
            STYLE: restyled(row.target),
            TOPIC: " ".join(other.split()[: len(row.target.split())]),
        }
        kept = {what: text for what, text in named.items() if text and text != row.target}
        choices = (row.target, *kept.values())
        made.append(replace(row, choices=choices, meta={"varied": tuple(kept)}))
    return made


def restyled(answer: str) -> str:
    """The same content in another style."""
    if len(answer.split()) > LONG:
        return "".join(c for c in answer.lower() if c.isalnum() or c.isspace())
    return f"The answer is {answer.rstrip('.')}."
