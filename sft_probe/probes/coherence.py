"""Does the model tell which sentence comes next?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from sft_probe.data.examples import Dataset, DataSets
from sft_probe.data.sentences import next_sentences, sentences
from sft_probe.errors import NotApplicable
from sft_probe.observe.needs import Need, Scores
from sft_probe.observe.observations import Floats, Observed, ScoresSeen
from sft_probe.probes import options
from sft_probe.probes.base import About
from sft_probe.probes.rows import Answered, Metric
from sft_probe.schema import Measurements

NEXT = "coherence.next"
ACCURACY = Metric(name="next_sentence_accuracy", unit="1", better="higher", share=True)
MARGIN = Metric(name="next_sentence_margin", unit="nats", better="higher")
CHANGE = Metric(name="next_sentence_margin_change", unit="nats", better="higher", null=0.0)


@dataclass(frozen=True, kw_only=True)
class Coherence:
    """The right next sentence of a text against the next sentences of other texts.

    dataset: whose texts; "" takes plain text and long answers of all data sets but the training rows.
    others: wrong sentences for each text. limit: texts of each data set.
    """

    name: ClassVar[str] = "coherence"
    about: ClassVar[About] = About(
        question="Does the model still tell which sentence comes next?",
        axis="cost",
        source="Barzilay & Lapata 2008, Modeling Local Coherence: an Entity-Based Approach (the order of "
        "sentences as a test); sentences of other texts in place of a shuffled order",
        null="accuracy of the base; change 0. One in `others` + 1 is chance",
        blind_spots="Sentences of other texts often give themselves away by their subject, so this is the "
        "easy half of coherence.",
        cost="forward",
        headline=("next_sentence_accuracy", "next_sentence_margin"),
    )

    dataset: str = ""
    others: int = 3
    limit: int = 40

    def __post_init__(self) -> None:
        options.at_least(self.name, 1, others=self.others, limit=self.limit)

    def derive(self, data: DataSets) -> Mapping[str, Dataset]:
        """Texts up to their middle with the sentences that might follow; the stratum is the data set.

        Raises: NotApplicable if too few texts have two sentences.
        """
        made = []
        for name in [self.dataset] if self.dataset else [name for name in data if name != "train"]:
            long = (row for row in data[name] if len(sentences(row.target)) > 1)
            texts = [row for row, _ in zip(long, range(self.limit), strict=False)]
            asked = next_sentences(texts, self.others)
            made += [replace(row, id=f"{name}/{row.id}", stratum=name, meta={}) for row in asked]
        if not made:
            raise NotApplicable(f"no data set has {self.others + 1} texts of two or more sentences")
        return {NEXT: Dataset(NEXT, tuple(made), "made from the data sets of the study")}

    def needs(self) -> tuple[Need, ...]:
        """Likelihood of every way to go on."""
        return (Scores(dataset=NEXT),)

    def measure(self, seen: Observed, base: Observed) -> Measurements:
        """Rows over all texts and by data set; items with the sentence that was preferred."""
        tuned, before = seen[Scores(dataset=NEXT)], base[Scores(dataset=NEXT)]
        said = Answered(dataset=NEXT, examples=tuned.examples, predictions=_preferred(tuned))
        now, then = _margin(tuned), _margin(before)
        return said.measurements(
            {ACCURACY: _right(tuned), MARGIN: now, CHANGE: now - then},
            {ACCURACY: _right(before), MARGIN: then, CHANGE: np.zeros(len(then))},
        )


def _margin(look: ScoresSeen) -> Floats:
    """Log-likelihood of the right sentence minus the mean of the others, behind the same text."""
    return np.array([c[0] - c[1:].mean() for c in look.choice_logprob])


def _right(look: ScoresSeen) -> Floats:
    return np.array([float(c[0] > c[1:].max()) for c in look.choice_logprob])


def _preferred(look: ScoresSeen) -> tuple[str, ...]:
    pairs = zip(look.examples, look.choice_logprob, strict=True)
    return tuple(sentences(example.choices[int(c.argmax())])[-1] for example, c in pairs)
