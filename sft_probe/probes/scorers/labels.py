"""Rows with a closed set of labels that other rows share, and the model's probabilities of those labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from sft_probe.data.examples import Example
from sft_probe.measures.likelihood import Scoring, choice_scores
from sft_probe.observe.observations import Floats, Ints, ScoresSeen

LabelSet = frozenset[str]
COMMON = 0.1
"""Share of the rows with choices that must share a set for it to be one of labels, not of distractors."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Labelled:
    """n rows with K labels.

    rows: (n,) numbers among the examples. gold: (n,) numbers among the labels. probabilities: (n, K), each
    row sums to 1; 0 for a label that the row does not offer.
    """

    labels: tuple[str, ...]
    rows: Ints
    gold: Ints
    probabilities: Floats

    @property
    def predicted(self) -> Ints:
        """(n,) the label of highest probability, the first of equals."""
        found: Ints = self.probabilities.argmax(1)
        return found

    @property
    def of_gold(self) -> Floats:
        """(n,) probability of the gold label."""
        found: Floats = self.probabilities[np.arange(len(self.gold)), self.gold]
        return found


def label_sets(examples: Iterable[Example]) -> tuple[LabelSet, ...]:
    """Sets of choices that at least two rows and a tenth of the rows with choices share, commonest first.

    Choices that differ from row to row, as those of a quiz, are distractors and no labels.
    """
    counts = Counter(frozenset(example.choices) for example in examples if len(set(example.choices)) > 1)
    least = max(2.0, COMMON * counts.total())
    return tuple(found for found, count in counts.most_common() if count >= least)


def labels_of(examples: Sequence[Example], sets: Collection[LabelSet]) -> tuple[str, ...]:
    """The labels of some sets, sorted."""
    offered = {frozenset(example.choices) for example in examples} & set(sets)
    return tuple(sorted({label for labels in offered for label in labels}))


def labelled(scores: ScoresSeen, sets: Collection[LabelSet], by: Scoring = "sum") -> Labelled:
    """The rows whose choices are one of `sets`: softmax of the scores by which the choices compete.

    by: what they compete by; it changes probabilities as well as accuracy.
    """
    labels = labels_of(scores.examples, sets)
    numbers = {label: k for k, label in enumerate(labels)}
    rows = [
        i for i, e in enumerate(scores.examples) if frozenset(e.choices) in set(sets) and e.target in numbers
    ]
    probabilities = np.zeros((len(rows), max(1, len(labels))))  # a maximum over no labels is an error
    for row, i in enumerate(rows):
        choices = scores.examples[i].choices
        competing = choice_scores(scores.choice_logprob[i], scores.choice_tokens[i], choices, by)
        shares = np.exp(competing - competing.max())
        np.add.at(probabilities[row], [numbers[choice] for choice in choices], shares / shares.sum())
    return Labelled(
        labels=labels,
        rows=np.array(rows, dtype=np.int64),
        gold=np.array([numbers[scores.examples[i].target] for i in rows], dtype=np.int64),
        probabilities=probabilities,
    )
