"""Abbreviations that texts explain themselves."""

from __future__ import annotations

import re
from collections.abc import Iterable

_SAID = re.compile(
    r"\b([A-Z][A-Z0-9/&-]{1,9}) (?:stands for|means|is short for|\u2192) ([^.,;:()\u2192\n]{3,60})"
)
_IN_BRACKETS = re.compile(r"((?:[\w'-]+\s+){1,8}?)\(([A-Z][A-Z0-9&-]{1,9})\)")


def abbreviations(texts: Iterable[str]) -> dict[str, str]:
    """Long form by short form, as first explained: `SOB stands for shortness of breath`, or
    `shortness of breath (SOB)` where the words in front begin with its letters.

    Source: Schwartz & Hearst 2003, A Simple Algorithm for Identifying Abbreviation Definitions, for the form
    with brackets, here with one letter per word that is not a function word.
    """
    found: dict[str, str] = {}
    for text in texts:
        for short, long in _SAID.findall(text):
            found.setdefault(short, long.strip())
        for front, short in _IN_BRACKETS.findall(text):
            if long := _spelled(front.split(), short):
                found.setdefault(short, long)
    return found


def _spelled(front: list[str], short: str) -> str:
    """The last words in front that begin with the letters of the short form, small words between allowed."""
    letters = [c for c in short.lower() if c.isalnum()]
    taken: list[str] = []
    for word in reversed(front):
        if not letters:
            break
        if word[0].lower() == letters[-1]:
            letters.pop()
        elif len(word) > 3 or not taken:
            return ""
        taken.append(word)
    return "" if letters else " ".join(reversed(taken))
