"""Which test rows stand among the training rows: word for word, nearly, or in parts.

Texts are compared as words without case and punctuation (`measures/text.py`). What is compared is the
question, or the whole text where there is none; `exact` alone looks at the answer too.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import nan
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from sft_probe.data.examples import Dataset, Example
from sft_probe.measures.text import words

GRAM = 8  # words; Chowdhery et al. 2022 (PaLM) count a text with 70 % of its 8-grams as contaminated
GRAMS_SHARED = 0.7
SHINGLE = 3  # words
SIMILAR = 0.8
BANDS, ROWS = 25, 5  # of a MinHash signature: a pair of Jaccard 0.8 is missed in 5 of 100,000 cases
PRIME = 2**31 - 1

Words = tuple[str, ...]
Grams = frozenset[Words]
Signatures = NDArray[np.uint64]  # (texts, BANDS * ROWS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlap:
    """What one test row shares with the training rows.

    exact: question and answer stand there letter for letter. normalised: the question does, but for case,
    white space and punctuation. grams: share of its word 8-grams that occur anywhere in the questions and
    answers of training, NaN for a text of fewer than 8 words. similarity: Jaccard index of word 3-shingles
    with the most similar training row if that is at least 0.8, else 0. row: id of that row.
    """

    exact: bool
    normalised: bool
    grams: float
    similarity: float
    row: str = ""

    @property
    def contaminated(self) -> bool:
        """Any of the four says so."""
        return self.exact or self.normalised or self.grams >= GRAMS_SHARED or self.similarity >= SIMILAR


def overlaps(train: Dataset, test: Dataset) -> tuple[Overlap, ...]:
    """One `Overlap` per test row, in order. Deterministic; time grows with rows plus similar pairs."""
    texts, asked = [[words(_text(row)) for row in data] for data in (train, test)]
    whole, questions = set(map(_letters, train)), set(texts)
    known = {gram for row in train for gram in _grams(words(_everything(row)), GRAM)}
    return tuple(
        Overlap(
            exact=_letters(row) in whole,
            normalised=text in questions,
            grams=_share(text, known),
            similarity=similarity,
            row=train.examples[nearest].id if nearest >= 0 else "",
        )
        for row, text, (nearest, similarity) in zip(test, asked, most_similar(texts, asked), strict=True)
    )


def most_similar(texts: Sequence[Words], asked: Sequence[Words]) -> list[tuple[int, float]]:
    """For each asked text the index of the text with the largest Jaccard index and that index.

    (-1, 0.0) where none reaches 0.8. Candidates share a band of their MinHash signatures; what is returned
    was then computed from the shingles themselves.
    Source: Broder 1997, On the resemblance and containment of documents.
    """
    shingles, wanted = [[_grams(text, SHINGLE) for text in part] for part in (texts, asked)]
    buckets = defaultdict[tuple[int, bytes], list[int]](list)
    for i, signature in enumerate(_signatures(shingles)):
        for key in _bands(signature):
            buckets[key].append(i)
    found = []
    for own, signature in zip(wanted, _signatures(wanted), strict=True):
        near = {i for key in _bands(signature) for i in buckets.get(key, ())}
        best = max(((jaccard(own, shingles[i]), -i) for i in near), default=(0.0, 1))
        found.append((-best[1], best[0]) if best[0] >= SIMILAR else (-1, 0.0))
    return found


def jaccard(a: Grams, b: Grams) -> float:
    """Shared over all members, in [0, 1]; NaN for two empty sets."""
    return len(a & b) / len(a | b) if a or b else nan


def _signatures(sets: Sequence[Grams]) -> Signatures:
    """Smallest value of each hash function over the members of each set; an empty set has the largest."""
    draw = random.Random("minhash")
    factors, shifts = (
        np.array([[draw.randrange(1, PRIME)] for _ in range(BANDS * ROWS)], dtype=np.uint64) for _ in range(2)
    )
    signatures = np.full((len(sets), BANDS * ROWS), PRIME, dtype=np.uint64)
    for i, members in enumerate(sets):
        if members:
            codes = np.array([crc32(" ".join(gram).encode()) % PRIME for gram in members], dtype=np.uint64)
            signatures[i] = ((factors * codes + shifts) % PRIME).min(axis=1)
    return signatures


def _bands(signature: Signatures) -> Iterable[tuple[int, bytes]]:
    return enumerate(part.tobytes() for part in signature.reshape(BANDS, ROWS))


def _grams(text: Words, size: int) -> Grams:
    """Runs of `size` words; a shorter text is one run, an empty one none."""
    if not text:
        return frozenset()
    return frozenset(text[i : i + size] for i in range(max(1, len(text) - size + 1)))


def _share(text: Words, known: set[Words]) -> float:
    if len(text) < GRAM:
        return nan
    own = _grams(text, GRAM)
    return len(own & known) / len(own)


def _text(row: Example) -> str:
    return row.prompt or row.target


def _everything(row: Example) -> str:
    return f"{row.prompt}\n{row.target}"


def _letters(row: Example) -> tuple[object, ...]:
    return (*row.messages, row.target)
