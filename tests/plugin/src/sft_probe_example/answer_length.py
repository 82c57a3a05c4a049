"""A probe: how many tokens an answer has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from sft_probe import About, Item, Measurement, Measurements, Observed
from sft_probe.observe.needs import Generations, Need
from sft_probe.stats.intervals import cluster_codes, mean_interval


@dataclass(frozen=True, kw_only=True)
class AnswerLength:
    """Tokens of each answer, beside those of the base."""

    name: ClassVar[str] = "answer_length"
    about: ClassVar[About] = About(
        question="Do answers get longer?",
        axis="what",
        source="an example",
        null="the base's mean length",
        blind_spots="Says nothing about what the answers contain.",
        cost="generation",
        headline=("mean_answer_tokens",),
    )
    dataset: str = "test"
    max_new_tokens: int = 32

    def needs(self) -> tuple[Need, ...]:
        """Answers to the questions of one data set."""
        return (Generations(dataset=self.dataset, max_new_tokens=self.max_new_tokens),)

    def measure(self, seen: Observed, base: Observed) -> Measurements:
        """The mean over answers, with its interval over entities."""
        (need,) = self.needs()
        answers = seen[need]
        lengths = np.asarray(answers.n_tokens, dtype=float)
        found = mean_interval(lengths, cluster_codes([e.cluster or e.id for e in answers.examples]))
        row = Measurement(
            metric="mean_answer_tokens",
            value=found.value,
            unit="tokens",
            dataset=self.dataset,
            se=found.se,
            ci_low=found.low,
            ci_high=found.high,
            n=found.n,
            n_clusters=found.n_clusters,
            null_value=float(np.mean(base[need].n_tokens)),
        )
        items = tuple(
            Item(metric="answer_tokens", item=example.id, value=float(length), dataset=self.dataset)
            for example, length in zip(answers.examples, lengths, strict=True)
        )
        return Measurements((row,), items)
