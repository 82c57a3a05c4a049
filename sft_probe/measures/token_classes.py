"""Kinds of tokens in an answer: function words, entities, digits, punctuation, the end of the turn."""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Sequence
from typing import Literal

TokenClass = Literal["function word", "entity", "digit", "punctuation", "end of turn", "other word"]
CLASSES: tuple[TokenClass, ...] = (
    "function word",
    "entity",
    "digit",
    "punctuation",
    "end of turn",
    "other word",
)
FUNCTION_WORDS = frozenset(
    """a about after all also although am an and any are as at be because been before being both but by can
could did do does doing down during each either few for from further had has have having he her here hers him
his how i if in into is it its itself just may me might more most must my neither no nor not of off on once
only or other our out over own same shall she should so some such than that the their them then there these
they this those though through to too under until up upon us very was we were what when where which while who
whom whose why will with within without would yes yet you your""".split()
)
"""Closed classes of English: articles, pronouns, prepositions, conjunctions, auxiliaries, question words."""


def token_classes(tokens: Sequence[str], lower: Collection[str] = ()) -> tuple[TokenClass, ...]:
    """The kind of every token of one answer; all tokens of a word are of the word's kind.

    tokens: as text in order, spaces included. lower: words that occur uncapitalised elsewhere, so that a
    capital at the start of a sentence does not make them entities.
    A token without letters and digits is punctuation; a special token such as `<|end|>` ends the turn. A
    word with a digit is a digit; one with a capital is an entity. Scripts without capitals have no entities.
    """
    text, spans = "", []
    for token in tokens:
        spans.append((len(text), len(text) + len(token)))
        text += token
    word_at = _words(text)
    found: list[TokenClass] = []
    for token, (start, end) in zip(tokens, spans, strict=True):
        if _is_special(token):
            found.append("end of turn")
        else:
            word = next((word_at[i] for i in range(start, end) if i in word_at), "")
            found.append(_kind(word, lower))
    return tuple(found)


def uncapitalised(texts: Sequence[str]) -> frozenset[str]:
    """Words that stand somewhere in the texts without a capital."""
    return frozenset(word for text in texts for word in set(_words(text).values()) if word == word.lower())


def _words(text: str) -> dict[int, str]:
    """By the place of every letter or digit the word it belongs to."""
    found: dict[int, str] = {}
    start = 0
    for end in range(len(text) + 1):
        if end == len(text) or unicodedata.category(text[end])[0] not in "LMN":
            word = text[start:end]
            found |= dict.fromkeys(range(start, end), word)
            start = end + 1
    return found


def _kind(word: str, lower: Collection[str]) -> TokenClass:
    if not word:
        return "punctuation"
    if any(c.isdigit() for c in word):
        return "digit"
    if word.lower() in FUNCTION_WORDS:
        return "function word"
    if word != word.lower() and word.lower() not in lower:
        return "entity"
    return "other word"


def _is_special(token: str) -> bool:
    shown = token.strip()
    return len(shown) > 2 and shown[0] == "<" and shown[-1] == ">"
