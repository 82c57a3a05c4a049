"""Does what an answer says stand in the text it was given?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from math import nan

from sft_probe.measures.text import words
from sft_probe.measures.token_classes import FUNCTION_WORDS

COMMON = 0.8  # of answers; words of more of them belong to their form
FEWEST = 5


def content_words(text: str, form: Collection[str] = ()) -> tuple[str, ...]:
    """Normalised words that are neither English function words nor `form`."""
    return tuple(word for word in words(text) if word not in FUNCTION_WORDS and word not in form)


def form_words(answers: Sequence[str]) -> frozenset[str]:
    """Words that at least four of five answers share, such as the keys of JSON; none below five answers."""
    if len(answers) < FEWEST:
        return frozenset()
    count = Counter(word for answer in answers for word in set(words(answer)))
    return frozenset(word for word, times in count.items() if times >= COMMON * len(answers))


def supported_share(answer: str, source: str, form: Collection[str] = ()) -> float:
    """Share of the different content words of an answer that stand in the source, in [0, 1].

    NaN for an answer without content words. It sees words, not relations: an answer that mixes up what is
    said of whom is supported all the same.
    Source: the precision of grounded words, as in Shuster et al. 2021, Retrieval Augmentation Reduces
    Hallucination in Conversation (Knowledge F1), without its recall.
    """
    said = set(content_words(answer, form))
    return len(said & set(words(source))) / len(said) if said else nan
