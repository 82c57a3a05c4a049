"""Comparing an answer with the expected text: token F1 and containment after normalisation.

Normalisation follows SQuAD's evaluation script (lower case, no punctuation, no English articles) and
departs from it where that script is wrong for what is compared here:

- punctuation separates words, so that JSON with and without spaces reads alike;
- a decimal point and a leading minus sign stay, so that 3.5 is not 35 and -5 is not 5;
- Unicode is folded (NFKC, casefold), and each Chinese or Japanese character is a token of its own;
- a text of nothing but articles and punctuation stays as it is, so that the label "A" is not empty.

Source: Rajpurkar et al. 2016, SQuAD (arXiv 1606.05250), evaluate-v1.1.py.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Collection
from functools import lru_cache
from math import isclose

_ARTICLES = frozenset(("a", "an", "the"))
_APOSTROPHE = re.compile(r"['\u2019]")
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
_INITIALS = re.compile(r"(?<=\b[^\W\d_])\.(?=[^\W\d_]\b)")
_SIGN_OR_POINT = re.compile(r"(?<![\w.])-(?=\d)|(?<=\d)\.(?=\d)")
_NUMBER = re.compile(r"(?<![\w.])-?(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?(?:[eE][-+]?\d+)?")
_ONLY_NUMBER = re.compile(rf"[\s$\u20ac\u00a3\u00a5]*({_NUMBER.pattern})[\s%.]*")
_FINAL_NUMBER = re.compile(rf"####\s*\$?\s*({_NUMBER.pattern})\s*$")
_IDEOGRAPH = re.compile(r"([\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff])")


@lru_cache(maxsize=2**14)  # expected answers, and what the base said, are judged again at every look
def words(text: str) -> tuple[str, ...]:
    """The normalised words of a text, articles included; empty only if the text is blank."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    joined = _INITIALS.sub("", _THOUSANDS.sub("", _APOSTROPHE.sub("", folded)))
    kept = {match.start() for match in _SIGN_OR_POINT.finditer(joined)}
    spaced = "".join(
        c if i in kept or unicodedata.category(c)[0] not in "PS" else " " for i, c in enumerate(joined)
    )
    return tuple(_IDEOGRAPH.sub(r" \1 ", spaced).split()) or tuple(folded.split())


def tokens(text: str) -> tuple[str, ...]:
    """The normalised words without English articles, unless there is nothing else."""
    found = words(text)
    return tuple(word for word in found if word not in _ARTICLES) or found


def token_f1(prediction: str, target: str) -> float:
    """Harmonic mean of precision and recall over shared tokens, in [0, 1]; order does not matter.

    1 if both texts are blank, 0 if only one is.
    """
    said, expected = Counter(tokens(prediction)), Counter(tokens(target))
    if not said or not expected:
        return float(said == expected)
    return 2 * (said & expected).total() / (said.total() + expected.total())


def contains(prediction: str, target: str) -> bool:
    """The target's words stand in the prediction, next to each other and in order; articles do not count.

    Whole words only: "cat" is not in "concatenate". A blank target is contained in a blank answer only.
    """
    expected = tokens(target)
    said = words(prediction) if _ARTICLES.issuperset(expected) else tokens(prediction)
    if not expected:
        return not said
    width = len(expected)
    return any(said[i : i + width] == expected for i in range(len(said) - width + 1))


def exact_match(prediction: str, target: str) -> bool:
    """Equal up to white space at the ends, and nothing else."""
    return prediction.strip() == target.strip()


def same_words(prediction: str, accepted: Collection[str]) -> bool:
    """The answer has the words of one accepted text, articles apart: SQuAD's exact match."""
    return tokens(prediction) in {tokens(text) for text in accepted}


def only_label_named(prediction: str, labels: Collection[str]) -> str:
    """The one label whose words stand in the answer, or "" if there is none or more than one.

    A label that stands in the answer only as part of a longer one ("positive" in "not positive") does not
    count as named.
    """
    named = [label for label in labels if contains(prediction, label)]
    longest = [a for a in named if not any(a != b and contains(b, a) for b in named)]
    return longest[0] if len(longest) == 1 else ""


def number_of(text: str) -> float | None:
    """The number that a text is as a whole, or that follows a last `####` as in GSM8K; None otherwise.

    Signs of currency, a percent sign and a full stop around it do not count, commas part thousands.
    """
    found = _ONLY_NUMBER.fullmatch(text) or _FINAL_NUMBER.search(text)
    return _value(found[1]) if found else None


def last_number(text: str) -> float | None:
    """The last number in a text, which is where worked answers end; None if there is none."""
    found = _NUMBER.findall(text)
    return _value(found[-1]) if found else None


def same_number(prediction: float | None, target: float, tolerance: float) -> bool:
    """Equal up to `tolerance`, relative to the larger one, or absolute near zero."""
    return prediction is not None and isclose(prediction, target, rel_tol=tolerance, abs_tol=tolerance)


def _value(number: str) -> float:
    return float(number.replace(",", ""))
