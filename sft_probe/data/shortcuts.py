"""Words of training prompts that go with a label, in pairs that speak for different labels, with placebos."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import sqrt

import numpy as np

from sft_probe.data.examples import Example
from sft_probe.measures.shortcut import Association, Floats, association
from sft_probe.measures.text import words

LEAST = 5  # rows that must have a word, and rows that must lack it
MOST_ROWS = 5000  # training rows that are searched
UNRELATED = 1.5  # standard errors from no association that a placebo may be

Grams = Mapping[str, frozenset[int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Swap:
    """Two words to be swapped for each other at the end of a prompt.

    word speaks for `label`, partner against it. optimum: nats by which an optimal reader of the training rows
    would move the log odds of the label when the partner is replaced by the word; error: its standard error.
    word_optimum, partner_optimum: by which each moves it when it is put in. placebos: two words about as
    common that go with no label. named: the study or an edit names the word; else it was found.
    """

    word: str
    partner: str
    label: str
    placebos: tuple[str, str]
    optimum: float
    error: float
    word_optimum: float
    partner_optimum: float
    named: bool = False


@dataclass(frozen=True, kw_only=True)
class _Vocabulary:
    """What the runs of one or two words in the training prompts say about the labels."""

    grams: tuple[str, ...]
    labels: tuple[str, ...]
    counts: Floats  # (grams,) rows that have it
    says: Association

    placebos: tuple[int, ...]  # numbers of words that go with no label, planted ones first
    planted: int  # how many of them are planted


def find_swaps(
    rows: Sequence[Example], *, named: Sequence[str] = (), placebos: Sequence[str] = (), pairs: int = 2
) -> tuple[Swap, ...]:
    """First the named words, two by two, then `pairs` pairs of the words that go best with different labels.

    rows: training rows whose targets are labels; the first 5000 are read. Words that occur or are absent in
    fewer than 5 rows are not looked at unless they are named. A named word without a partner is paired with
    a placebo. placebos: used before others. Empty if there are no two placebos or all rows have one label.
    """
    rows = rows[:MOST_ROWS]
    named, placebos = (tuple(dict.fromkeys(map(_as_gram, given))) for given in (named, placebos))
    if len({row.target for row in rows}) < 2:
        return ()
    known = _vocabulary(rows, named, placebos)
    if len(known.placebos) < 2:
        return ()
    found = [_swap(known, pair, named=True) for pair in _by_two(known, len(named))]
    found += [_swap(known, pair, named=False) for pair in _strongest(known, set(named), pairs)]
    return tuple(found)


def has_word(example: Example, gram: str) -> bool:
    """The prompt has these words, one after the other, whatever their case."""
    return f" {gram} " in f" {' '.join(words(example.prompt))} "


def _vocabulary(rows: Sequence[Example], named: Sequence[str], placebos: Sequence[str]) -> _Vocabulary:
    labels, where = tuple(sorted({row.target for row in rows})), _occurrences(rows)
    kept = sorted(g for g, at in where.items() if g not in named and LEAST <= len(at) <= len(rows) - LEAST)
    grams = (*named, *kept)
    gold = np.array([labels.index(row.target) for row in rows], dtype=np.int64)
    counts = np.array(
        [np.bincount(gold[sorted(where.get(gram, ()))], minlength=len(labels)) for gram in grams]
    ).reshape(len(grams), len(labels))
    says = association(counts, np.bincount(gold, minlength=len(labels)))
    own = {*named, *(word for label in labels for word in words(label))}
    plain = [
        i
        for i, gram in enumerate(grams)
        if gram in placebos or (" " not in gram and gram not in own and np.abs(says.z[i]).max() < UNRELATED)
    ]
    return _Vocabulary(
        grams=grams,
        labels=labels,
        counts=counts.sum(1).astype(np.float64),
        says=says,
        placebos=tuple(sorted(plain, key=lambda i: grams[i] not in placebos)),
        planted=sum(grams[i] in placebos for i in plain),
    )


def _as_gram(word: str) -> str:
    return " ".join(words(word))


def _occurrences(rows: Iterable[Example]) -> Grams:
    """Which rows have each run of one or two words in their prompt."""
    found = defaultdict[str, set[int]](set)
    for i, row in enumerate(rows):
        text = words(row.prompt)
        for gram in {*text, *map(" ".join, pairwise(text))}:
            found[gram].add(i)
    return {gram: frozenset(at) for gram, at in found.items()}


def _by_two(known: _Vocabulary, named: int) -> Iterator[tuple[int, int]]:
    """Named words are the first of the vocabulary."""
    for i in range(0, named, 2):
        yield i, i + 1 if i + 1 < named else _nearest(known, i, ())


def _strongest(known: _Vocabulary, taken: set[str], pairs: int) -> Iterator[tuple[int, int]]:
    """Pairs of words that go with different labels, strongest first; no word is used twice, in no run."""
    used = {word for gram in taken for word in gram.split()}
    score = known.says.z
    ranked = sorted(np.ndindex(score.shape), key=lambda at: (-score[at], known.grams[at[0]]))
    waiting: list[tuple[int, int]] = []
    made = 0
    for gram, label in ranked:
        if made == pairs or score[gram, label] <= 0:
            break
        parts = set(known.grams[gram].split())
        if parts & used or known.grams[gram] in taken:
            continue
        other = next((at for at in waiting if at[1] != label), None)
        if other is None and len(waiting) >= pairs:
            continue  # enough words that speak for this label
        used |= parts
        if other is None:
            waiting.append((gram, label))
        else:
            waiting.remove(other)
            made += 1
            yield other[0], gram


def _swap(known: _Vocabulary, pair: tuple[int, int], *, named: bool) -> Swap:
    """The pair, turned so that the first word speaks for the label about which they differ most."""
    present, inserted = known.says.present, known.says.inserted
    gap = present[pair[0]] - present[pair[1]]
    label = int(np.abs(gap).argmax())
    word, partner = pair if gap[label] >= 0 else pair[::-1]
    first = _nearest(known, word, pair)
    second = _nearest(known, partner, (*pair, first))
    variance = known.says.variance[word, label] + known.says.variance[partner, label]
    return Swap(
        word=known.grams[word],
        partner=known.grams[partner],
        label=known.labels[label],
        placebos=(known.grams[first], known.grams[second]),
        optimum=float(present[word, label] - present[partner, label]),
        error=sqrt(float(variance)),
        word_optimum=float(inserted[word, label]),
        partner_optimum=float(inserted[partner, label]),
        named=named,
    )


def _nearest(known: _Vocabulary, gram: int, besides: Sequence[int]) -> int:
    """A planted placebo, else the one that is about as common; one of `besides` only if there is no other."""
    free = [i for i in known.placebos if i not in besides] or list(known.placebos)
    planted = [i for i in free if i in known.placebos[: known.planted]]
    ratio = {i: abs(float(np.log((known.counts[i] + 0.5) / (known.counts[gram] + 0.5)))) for i in free}
    return min(planted or free, key=lambda i: (ratio[i], known.grams[i]))
