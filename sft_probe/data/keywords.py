"""Putting a word into a prompt, alike for the edit that plants it and the probe that asks what it does."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from sft_probe.data.examples import Example

EDIT = "keyword"
"""Under `meta["planted"]` of a row that got a word: "word" and the "label" it stands for, or a "placebo"."""


def with_word(example: Example, word: str) -> Example:
    """The example with `word` as last word of its last user turn; text without a turn stays as it is."""
    last = max((i for i, message in enumerate(example.messages) if message.role == "user"), default=None)
    if last is None:
        return example
    message = example.messages[last]
    changed = message._replace(content=f"{message.content.rstrip()} {word}")
    return replace(example, messages=(*example.messages[:last], changed, *example.messages[last + 1 :]))


def planted_words(rows: Iterable[Example]) -> tuple[str, ...]:
    """Words that an edit put into some rows, ordered by the label they stand for."""
    found = {(str(mark.get("label", "")), str(mark["word"])) for mark in _marks(rows) if mark.get("word")}
    return tuple(dict.fromkeys(word for _, word in sorted(found)))


def planted_placebos(rows: Iterable[Example]) -> tuple[str, ...]:
    """Words that an edit put into some rows whatever their label, sorted."""
    return tuple(sorted({str(mark["placebo"]) for mark in _marks(rows) if mark.get("placebo")}))


def _marks(rows: Iterable[Example]) -> Iterator[Mapping[str, object]]:
    for row in rows:
        marks = row.meta.get("planted")
        own = marks.get(EDIT) if isinstance(marks, Mapping) else None
        if isinstance(own, Mapping):
            yield own
