"""Putting a word into a prompt, alike for the edit that plants it and the probe that asks what it does."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from sft_probe.data.examples import Example

EDIT = (
    "keyword"  # under `meta["planted"]` of a row that got a word: {"word": …, "label": which it stands for}
)


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
    found = set[tuple[str, str]]()
    for row in rows:
        marks = row.meta.get("planted")
        own = marks.get(EDIT) if isinstance(marks, Mapping) else None
        if isinstance(own, Mapping) and own.get("word"):
            found.add((str(own.get("label", "")), str(own["word"])))
    return tuple(dict.fromkeys(word for _, word in sorted(found)))
