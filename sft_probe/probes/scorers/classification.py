"""Classification: rows of one measure over all examples with labels, which no mean over examples gives."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from sft_probe.measures.calibration import (
    brier_decomposition,
    brier_scores,
    brier_sums,
    calibration,
)
from sft_probe.measures.classification import balanced_accuracy, confusion, macro_f1
from sft_probe.measures.membership import placements
from sft_probe.measures.text import only_label_named
from sft_probe.observe.observations import Bools, Floats, GenerationsSeen, Ints, ScoresSeen
from sft_probe.probes.rows import Answered, Metric, Scored, clusters_of
from sft_probe.probes.scorers.labels import Labelled
from sft_probe.schema import NAN, Measurement
from sft_probe.stats.intervals import Interval
from sft_probe.stats.resampling import balanced_groups, jackknife_interval
from sft_probe.stats.two_samples import auc_interval

NO_LABELS = "no classification: no closed set of choices is shared by several examples"
NO_INTERVAL = "no interval of a calibration error covered well in simulation; judge by ece_p"
ALL_ALIKE = "answers are all alike, so nothing is known of their spread"
CONFUSION_LABELS = 10
"""With more labels than this, only the diagonal of the confusion is reported."""

NAMED = Metric(name="named_label", unit="1", better="higher", share=True, absent=NO_LABELS)
NLL = Metric(name="label_nll", unit="nats", better="lower", absent=NO_LABELS)
BRIER = Metric(name="brier", unit="1", better="lower", absent=NO_LABELS)
OVERCONFIDENCE = Metric(name="overconfidence", unit="1", absent=NO_LABELS)
MACRO_F1 = Metric(name="macro_f1", unit="1", better="higher")
SAID_F1 = Metric(name="macro_f1_said", unit="1", better="higher")
BALANCED = Metric(name="balanced_accuracy", unit="1", better="higher")
ECE = Metric(name="ece", unit="1", better="lower")
ECE_EXCESS = Metric(name="ece_excess", unit="1", better="lower")
ECE_P = Metric(name="ece_p", unit="1", better="neither")
RELIABILITY = Metric(name="brier_reliability", unit="1", better="lower")
RESOLUTION = Metric(name="brier_resolution", unit="1", better="higher")
UNCERTAINTY = Metric(name="brier_uncertainty", unit="1")
AUROC = Metric(name="confidence_auroc", unit="1", better="higher")
CONFUSION = Metric(name="confusion", unit="1", share=True)
METRICS = (
    *(NAMED, NLL, BRIER, OVERCONFIDENCE, MACRO_F1, SAID_F1, BALANCED, ECE, ECE_EXCESS, ECE_P),
    *(RELIABILITY, RESOLUTION, UNCERTAINTY, AUROC, CONFUSION),
)


@dataclass(frozen=True, kw_only=True)
class Judged:
    """What a model makes of the labelled rows: probabilities, and the label its answer names (-1: none)."""

    labelled: Labelled
    said: Ints

    def among(self, chosen: Bools) -> Judged:
        """The same for some of the rows."""
        here = self.labelled
        rows, gold, probabilities = here.rows[chosen], here.gold[chosen], here.probabilities[chosen]
        return Judged(
            labelled=replace(here, rows=rows, gold=gold, probabilities=probabilities), said=self.said[chosen]
        )


def judged(labels: Labelled, scores: ScoresSeen, answers: GenerationsSeen) -> Judged:
    """Read the label that each answer names, leniently: the only label of the row that stands in it."""
    numbers = {label: k for k, label in enumerate(labels.labels)}
    named = [only_label_named(answers.texts[i], scores.examples[i].choices) for i in labels.rows]
    return Judged(labelled=labels, said=np.array([numbers.get(name, -1) for name in named], dtype=np.int64))


def label_scores(found: Judged, n: int) -> Scored:
    """The metrics that are means over examples: (n,) each, NaN for examples without labels."""
    here = found.labelled
    confidence, right = _confidence(here)
    values = {
        NAMED: (found.said == here.gold).astype(np.float64),
        NLL: -np.log(np.maximum(here.of_gold, np.finfo(np.float64).tiny)),
        BRIER: brier_scores(here.probabilities, here.gold),
        OVERCONFIDENCE: confidence - right,
    }
    spread = {metric: np.full(n, NAN) for metric in values}
    for metric, value in values.items():
        spread[metric][here.rows] = value
    return spread


def label_rows(said: Answered, tuned: Judged, base: Judged) -> Iterator[Measurement]:
    """Rows of what is no mean over examples, for all labelled rows and for strata of more than one label."""
    clusters, rows = clusters_of(said.examples), tuned.labelled.rows
    for stratum, inside in said.strata():
        chosen = inside[rows]
        if stratum and len(set(tuned.labelled.gold[chosen])) < 2:
            continue
        found = _statistics(tuned.among(chosen), clusters[rows][chosen])
        before = _statistics(base.among(chosen), clusters[rows][chosen])
        for metric, interval in found.items():
            row = metric.row(interval, dataset=said.dataset, stratum=stratum)
            yield replace(row, null_value=before[metric].value)
    yield from _confusion_rows(said.dataset, tuned.labelled, base.labelled, clusters[rows])


def _statistics(found: Judged, clusters: Ints) -> Mapping[Metric, Interval]:
    here = found.labelled
    if not here.rows.size:
        absent = Interval(value=NAN, why=NO_LABELS)
        aggregates = (MACRO_F1, SAID_F1, BALANCED, ECE, ECE_EXCESS, ECE_P)
        return dict.fromkeys((*aggregates, RELIABILITY, RESOLUTION, UNCERTAINTY, AUROC), absent)
    by_group = _Grouped(here, clusters)
    return {
        MACRO_F1: by_group.of_counts(here.predicted, macro_f1),
        SAID_F1: by_group.of_counts(found.said, macro_f1),
        BALANCED: by_group.of_counts(here.predicted, balanced_accuracy),
        **by_group.of_confidence(),
        **by_group.of_brier(),
        AUROC: _auroc(here, clusters),
    }


class _Grouped:
    """Labelled rows in groups of whole clusters, for intervals by jackknife."""

    def __init__(self, here: Labelled, clusters: Ints) -> None:
        self.here, self.groups = here, balanced_groups(clusters)
        self.n, self.n_clusters = len(clusters), len(np.unique(clusters))

    def of_counts(self, predicted: Ints, statistic: Callable[[Floats], Floats]) -> Interval:
        """Interval of a statistic of the counts of gold and predicted labels."""
        size, gold = len(self.here.labels), self.here.gold
        count = int(self.groups.max()) + 1
        by_group = np.stack([self._counts(g, gold, predicted, size) for g in range(count)])
        return self._interval(by_group, statistic, most=1.0)

    def of_confidence(self) -> Mapping[Metric, Interval]:
        """Calibration error, what of it is more than chance, and how rare that is."""
        found = calibration(*_confidence(self.here), np.random.default_rng(0))
        plain = Interval(value=found.error, n=self.n, n_clusters=self.n_clusters, why=NO_INTERVAL)
        return {
            ECE: plain,
            ECE_EXCESS: replace(plain, value=found.error - found.null),
            ECE_P: replace(plain, value=found.p_value, why=""),
        }

    def of_brier(self) -> Mapping[Metric, Interval]:
        """Intervals of the parts of Brier's score."""
        sums = brier_sums(self.here.probabilities, self.here.gold, self.groups)
        parts = {RELIABILITY: "reliability", RESOLUTION: "resolution", UNCERTAINTY: "uncertainty"}

        def part(name: str) -> Callable[[Floats], Floats]:
            def of(these: Floats) -> Floats:
                found: Floats = getattr(brier_decomposition(these), name)
                return found

            return of

        return {
            metric: self._interval(sums, part(name), most=2.0, least=-2.0 if metric is RESOLUTION else 0.0)
            for metric, name in parts.items()
        }

    def _counts(self, group: int, gold: Ints, predicted: Ints, size: int) -> Floats:
        inside = self.groups == group
        return confusion(gold[inside], predicted[inside], size)

    def _interval(
        self, by_group: Floats, statistic: Callable[[Floats], Floats], *, most: float, least: float = 0.0
    ) -> Interval:
        """Jackknife over groups, within the range of the statistic; resolution can lie a little below 0."""
        total = by_group.sum(0)
        value, left_out = float(statistic(total)), statistic(total - by_group)
        found = jackknife_interval(value, left_out)
        if found.se == 0:
            found = Interval(value=value, why=ALL_ALIKE)
        elif found.se > 0:
            found = replace(found, low=max(least, found.low), high=min(most, found.high))
        return replace(found, n=self.n, n_clusters=self.n_clusters)


def _confidence(here: Labelled) -> tuple[Floats, Floats]:
    """Probability of the best label, and whether it is right."""
    return here.probabilities.max(1), (here.predicted == here.gold).astype(np.float64)


def _auroc(here: Labelled, clusters: Ints) -> Interval:
    """Are right answers more confident than wrong ones?"""
    confidence, right = _confidence(here)
    hit = right > 0
    if hit.all() or not hit.any():
        return Interval(value=NAN, n=hit.size, why=f"all answers are {'right' if hit.all() else 'wrong'}")
    ranks = placements(confidence[hit], confidence[~hit])
    return auc_interval(*ranks, clusters[hit], clusters[~hit])


def _confusion_rows(dataset: str, tuned: Labelled, base: Labelled, clusters: Ints) -> Iterator[Measurement]:
    """Of the examples of each label, the share predicted as each label; module "gold -> predicted"."""
    count = len(tuned.labels)
    for gold in range(count):
        inside = tuned.gold == gold
        for predicted in range(count):
            if inside.any() and (gold == predicted or count <= CONFUSION_LABELS):
                pair = f"{tuned.labels[gold]} -> {tuned.labels[predicted]}"
                hit, before = (
                    (found.predicted[inside] == predicted).astype(np.float64) for found in (tuned, base)
                )
                row = CONFUSION.row(CONFUSION.interval(hit, clusters[inside]), dataset=dataset, module=pair)
                yield replace(row, null_value=float(before.mean()))
