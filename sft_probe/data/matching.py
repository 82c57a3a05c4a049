"""Rows that ask the same of something else, and wrong answers of the right kind taken from them.

Two questions are alike if they share the words that many questions have: `Where was … born?` stays when the
name goes. So each word counts by the share of rows that hold it, which is the opposite of a search engine.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sft_probe.data.examples import Example
from sft_probe.stats.intervals import cluster_codes

BATCH = 512
LEAST = 3
SAME_KIND = 0.98  # of the likeness of the most alike question
REACH = 20  # neighbours to look through for each wrong answer that is wanted


class Alike(NamedTuple):
    """Other examples, the most alike first. likeness: (k,) in [0, 1], descending."""

    rows: NDArray[np.int64]
    likeness: NDArray[np.float64]


def neighbours(examples: Sequence[Example], first: int, count: int, seed: int = 0) -> Iterator[Alike]:
    """For each of the `first` examples up to `count` others, of all, with the most alike question.

    Examples of its own cluster are left out. Among equally alike ones the order is drawn by `seed`.
    """
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.preprocessing import normalize

    counter = CountVectorizer(token_pattern=r"\S+", binary=True, dtype=np.float64)
    words = counter.fit_transform([example.prompt or "-" for example in examples])
    asked = normalize(words.multiply(np.sqrt(words.mean(axis=0)))).tocsr()
    order = list(range(len(examples)))
    random.Random(f"neighbours:{seed}").shuffle(order)
    ties = np.array(order) * 1e-9
    clusters = cluster_codes([example.cluster for example in examples])
    count = min(count, len(examples) - 1)
    for start in range(0, first, BATCH):
        end = min(start + BATCH, first)
        likeness = (asked[start:end] @ asked.T).toarray().round(6) + ties
        likeness[clusters[start:end, None] == clusters[None, :]] = -1.0
        nearest = np.argpartition(-likeness, count, axis=1)[:, :count]
        for alike, found in zip(likeness, nearest, strict=True):
            ranked = found[np.argsort(-alike[found], kind="stable")]
            ranked = ranked[alike[ranked] >= 0]
            yield Alike(ranked, alike[ranked])


def wrong_answers(
    examples: Sequence[Example], number: int, seed: int = 0, *, pool: Sequence[Example] = ()
) -> list[tuple[str, ...]]:
    """Up to `number` different answers of the most alike questions, none of them the example's own.

    pool: further rows to take answers from, which get none themselves.

    What a row names under `meta.alternatives` comes first. Questions less alike than the most alike ones are
    turned to only where fewer than three answers were found.
    """
    found = []
    everything = (*examples, *pool)
    for example, alike in zip(
        examples, neighbours(everything, len(examples), REACH * number, seed), strict=True
    ):
        named = example.meta.get("alternatives", ())
        own = dict.fromkeys(named if isinstance(named, list | tuple) else ())
        own.pop(example.target, None)
        for index, likeness in zip(alike.rows, alike.likeness, strict=True):
            if len(own) >= (number if likeness >= SAME_KIND * alike.likeness[0] else min(LEAST, number)):
                break
            if everything[index].target != example.target:
                own[everything[index].target] = None
        found.append(tuple(own)[:number])
    return found
