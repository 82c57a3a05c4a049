"""Whose labels did the model learn: those of the crowd, of one annotator, the noise, the common label?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain
from typing import ClassVar, get_args

import numpy as np

from sft_probe.data.annotations import label_table
from sft_probe.data.content_free import content_free
from sft_probe.data.examples import Dataset, DataSets
from sft_probe.errors import NotApplicable
from sft_probe.measures.likelihood import Scoring
from sft_probe.observe.needs import Need, Scores
from sft_probe.observe.observations import Observed
from sft_probe.probes import options
from sft_probe.probes.base import About
from sft_probe.probes.scorers import annotators, noise, priors
from sft_probe.probes.scorers.compared import Compared
from sft_probe.probes.scorers.labels import label_sets, labelled
from sft_probe.schema import Measurements

METRICS = annotators.METRICS + noise.METRICS + priors.METRICS


@dataclass(frozen=True, kw_only=True)
class AnnotationInheritance:
    """Agreement with annotators, inheritance of label noise and of label shares, choice between two rules.

    dataset: held-out rows with a closed set of labels; the commonest set counts. train: the rows trained on,
    of which the first `limit` are read. choice_score: as in task_alignment.
    """

    name: ClassVar[str] = "annotation_inheritance"
    about: ClassVar[About] = About(
        question="Whose labels did the model learn, and how much of their noise and imbalance?",
        axis="what",
        source="Nie et al. 2020, ChaosNLI; Uma et al. 2021, Learning from Disagreement; Northcutt et al. "
        "2021, Confident Learning; Zhao et al. 2021, Calibrate Before Use; Lipton et al. 2018, BBSE",
        null="the base's value on the same rows; 0 for inheritance; 0.5 for areas under a curve",
        blind_spots="Noise is known only where an edit planted it. Doubt may have other reasons than noise, "
        "and a base may lean to a label by itself: an arm without noise or with equal shares tells.",
        cost="forward",
        headline=(
            "wrong_mass",
            "doubt_inheritance",
            "prior_inheritance",
            "annotator_kl_excess",
            "nearer_distribution",
        ),
    )

    dataset: str = "test"
    train: str = "train"
    limit: int | None = 200
    choice_score: Scoring = "sum"

    def __post_init__(self) -> None:
        options.name(self.name, dataset=self.dataset, train=self.train)
        options.at_least(self.name, 1, limit=self.limit)
        options.one_of(self.name, get_args(Scoring), choice_score=self.choice_score)

    def derive(self, data: DataSets) -> Mapping[str, Dataset]:
        """Inputs without content, which carry the counts of clean and given labels in training.

        Raises: NotApplicable if no closed set of labels is shared by several rows, or none is trained on.
        """
        sets = label_sets(data[self.dataset])
        if not sets:
            raise NotApplicable(f"no closed set of labels is shared by several rows of '{self.dataset}'")
        rows = [example for example in data[self.dataset] if frozenset(example.choices) == sets[0]]
        table = label_table(data[self.train], sorted(sets[0]))
        if not any(map(any, table)):
            raise NotApplicable(
                f"no row of '{self.train}' has the labels that rows of '{self.dataset}' share"
            )
        empty = content_free(rows, sorted(sets[0]), {"trained": table})
        return {self._inputs.dataset: Dataset(self._inputs.dataset, empty)}

    def needs(self) -> tuple[Need, ...]:
        """Likelihoods of the labels for held-out rows, training rows and inputs without content."""
        return (self._scores, self._trained, self._inputs)

    def measure(self, seen: Observed, base: Observed) -> Measurements:
        """Rows by question; an item per training row with how much its label is doubted."""
        needs = (self._scores, self._trained, self._inputs)
        test, train, empty = (self._compared(need, seen, base) for need in needs)
        table = np.array(empty.examples[0].meta["trained"], dtype=np.float64)
        rows = chain(
            annotators.annotator_rows(test, required=True),
            annotators.annotator_rows(train, required=False),
            noise.noise_rows(test, train, table),
            priors.prior_rows(test, train, empty, table),
            annotators.rule_rows(test, train),
        )
        return Measurements(tuple(rows), tuple(noise.suspects(train)))

    @property
    def _scores(self) -> Scores:
        return Scores(dataset=self.dataset)

    @property
    def _trained(self) -> Scores:
        return Scores(dataset=self.train, limit=self.limit)

    @property
    def _inputs(self) -> Scores:
        return Scores(dataset=f"{self.name}.content_free")

    def _compared(self, need: Scores, seen: Observed, base: Observed) -> Compared:
        labels = frozenset(seen[self._inputs].examples[0].choices)
        tuned, before = (labelled(found[need], (labels,), self.choice_score) for found in (seen, base))
        return Compared(
            dataset=need.dataset,
            labels=tuple(sorted(labels)),
            examples=tuple(seen[need].examples[i] for i in tuned.rows),
            given=tuned.gold,
            tuned=tuned.probabilities,
            base=before.probabilities,
        )
