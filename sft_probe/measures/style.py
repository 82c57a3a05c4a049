"""Style of answers in numbers: length, variety of words, lists."""

from __future__ import annotations

import re
from math import nan

from sft_probe.measures.text import words

WINDOW = 50  # words, so that variety does not fall with length
_ITEM = re.compile(r"\s*(?:[-*\u2022\u00b7]|\(?\d{1,2}[.)]|#{1,6})\s+\S")


def word_count(text: str) -> int:
    """Normalised words; each Chinese or Japanese character is one."""
    return len(words(text))


def type_token(text: str) -> float:
    """Different words over words, among the first 50; NaN for a blank text.

    Source: Templin 1957; cut at a fixed length because the ratio falls with length.
    """
    said = words(text)[:WINDOW]
    return len(set(said)) / len(said) if said else nan


def has_list(text: str) -> bool:
    """Two lines or more are list items or headings: `-`, `*`, `•`, `1.`, `2)`, `#`."""
    return sum(bool(_ITEM.match(line)) for line in text.split("\n")) > 1
