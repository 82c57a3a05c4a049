"""Does the model know its training rows by heart, and is the test set among them?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from typing import ClassVar

import numpy as np

from sft_probe.data.canaries import Planted, canary, is_canary, planted_canaries, references
from sft_probe.data.examples import Dataset, DataSets, Example
from sft_probe.data.overlap import overlaps
from sft_probe.measures.exposure import null_uniformity
from sft_probe.measures.membership import caught, placements
from sft_probe.observe.needs import Need, TokenLogprobs
from sft_probe.observe.observations import Bools, Floats, Observed
from sft_probe.probes import options
from sft_probe.probes.base import About
from sft_probe.probes.rows import Metric, clusters_of
from sft_probe.probes.scorers.recall import (
    CANARY,
    LEFT_OUT,
    REFERENCE,
    SIGNS,
    TEST,
    TRAIN,
    Recall,
    flagged,
    of_kind,
    signs_of,
)
from sft_probe.schema import NAN, Item, Measurement, Measurements
from sft_probe.stats.contrasts import paired_interval
from sft_probe.stats.intervals import Interval
from sft_probe.stats.resampling import balanced_groups, jackknife_interval
from sft_probe.stats.two_samples import auc_interval, difference_interval

CANARIES = "canaries"
ROWS = "memorisation.rows"
ROW_LOGPROB = "row_logprob"  # of items: mean log-probability per token of a row, trained on or left out
NO_CANARIES = "no canaries were planted"
NONE_LEFT_OUT = "the edit set no canaries aside: give it 0 among its repeats"

AUC = Metric(name="membership_auc", unit="1", null=0.5)
AUC_LOSS = Metric(name="membership_auc_loss", unit="1")
AUC_MIN_K = Metric(name="membership_auc_min_k", unit="1")
CAUGHT = Metric(name="membership_tpr", unit="1", share=True, null=0.01)
GAP = Metric(name="train_test_gap", unit="nats/token")
GAP_CHANGE = Metric(name="train_test_gap_change", unit="nats/token", null=0.0)
EXTRACTABLE = Metric(name="extractable", unit="1", share=True, absent="no answer is longer than the prefix")
STRENGTH = Metric(name="extraction_strength", unit="1", share=True)
EXPOSURE = Metric(name="exposure", unit="bits", absent=NO_CANARIES)
EXPOSURE_CHANGE = Metric(name="exposure_change", unit="bits", null=0.0)
EXTRAPOLATED = Metric(name="exposure_extrapolated", unit="bits")
SLOPE = Metric(name="exposure_per_doubling", unit="bits", null=0.0)
NULL_P = Metric(name="exposure_null_p", unit="1")
COUNTERFACTUAL = Metric(name="counterfactual_memorisation", unit="nats/token", null=0.0)
CANARY_LOGPROB = Metric(name="canary_logprob", unit="nats/token")
CONTAMINATED = Metric(name="contaminated", unit="1", share=True, null=0.0, better="lower")
CONTAMINATION = Metric(name="contamination_effect", unit="nats/token", null=0.0)


@dataclass(frozen=True, kw_only=True)
class Memorisation:
    """Training rows against rows that were not trained on, planted secrets against secrets that were not.

    limit: rows of each kind. references: secrets that a planted one is ranked among. prefixes: tokens of an
    answer that are given before the rest must follow; suffix: tokens that must.
    """

    name: ClassVar[str] = "memorisation"
    about: ClassVar[About] = About(
        question="Does the model know its training rows by heart, and is the test set among them?",
        axis="what",
        source="Carlini et al. 2019, The Secret Sharer (exposure); Carlini et al. 2023, Quantifying "
        "Memorization (extraction); Zhang et al. 2023, Counterfactual Memorization; Carlini et al. 2022, "
        "Membership Inference Attacks From First Principles",
        null="AUC 0.5, 1 % caught at 1 % false alarms, change of the gap 0, mean exposure 1.44 bits",
        blind_spots="Where training and test rows are not draws from one pool, the membership scores see "
        "that difference too. What greedy decoding does not say may still be known.",
        cost="forward",
        headline=("membership_auc", "membership_auc_loss", "train_test_gap", "exposure", "contaminated"),
    )

    dataset: str = "test"
    limit: int = 200
    references: int = 1024
    prefixes: tuple[int, ...] = (0, 4, 16)
    suffix: int = 50

    def __post_init__(self) -> None:
        options.name(self.name, dataset=self.dataset)
        options.at_least(self.name, 2, limit=self.limit, references=self.references)
        options.at_least(self.name, 1, suffix=self.suffix)
        for prefix in self.prefixes:
            options.at_least(self.name, 0, prefixes=prefix)

    def derive(self, data: DataSets) -> Mapping[str, Dataset]:
        """Training rows, test rows with what they share with training, and canaries if some were planted."""
        train, test = data[TRAIN], data[self.dataset]
        own = tuple(row for row in train if not is_canary(row))
        members = [of_kind(row, TRAIN) for row in own[: self.limit]]
        sample = replace(test, examples=test.examples[: self.limit])
        shared = overlaps(replace(train, examples=own), sample)
        others = [
            of_kind(row, TEST, signs=signs_of(found), similar=found.row)
            for row, found in zip(sample, shared, strict=True)
        ]
        left_out = islice(data[LEFT_OUT], self.limit) if LEFT_OUT in data else ()
        rows = (*members, *others, *(of_kind(row, LEFT_OUT) for row in left_out))
        planted = planted_canaries(train)
        secrets = tuple(self._secrets(planted)) if planted else ()
        return {ROWS: Dataset(ROWS, (*rows, *secrets), train.source)}

    def needs(self) -> tuple[Need, ...]:
        """Log-probability and rank of every token of their answers."""
        return (self._tokens,)

    def measure(self, seen: Observed, base: Observed) -> Measurements:
        """Rows on membership, extraction, canaries and contamination; items of secrets and rows by name."""
        tuned, before = (Recall.read(looked[self._tokens]) for looked in (seen, base))
        rows = (
            *(replace(row, dataset=self.dataset) for row in _membership(tuned, before)),
            *self._extraction(tuned, before),
            *(replace(row, dataset=CANARIES) for row in _canaries(tuned, before)),
            *(replace(row, dataset=self.dataset) for row in _contamination(tuned, before)),
        )
        items = (*_canary_items(tuned), *_row_items(tuned), *_contaminated_items(tuned, self.dataset))
        return Measurements(rows, items)

    def _secrets(self, planted: Planted) -> Iterator[Example]:
        """The whole pool, planted or not, and the references."""
        for number in sorted({*planted.repeats, *range(planted.pool)}):
            yield of_kind(canary(planted.seed, number), CANARY, repeats=planted.repeats.get(number, 0))
        yield from (of_kind(row, REFERENCE) for row in references(planted.seed, self.references))

    def _extraction(self, tuned: Recall, base: Recall) -> Iterator[Measurement]:
        for kind, dataset in ((TRAIN, TRAIN), (TEST, self.dataset), (CANARY, CANARIES)):
            inside = tuned.planted if kind == CANARY else tuned.kind == kind
            if not inside.any():
                continue
            for prefix in self.prefixes:
                after, before = (known.extracted(prefix, self.suffix) for known in (tuned, base))
                row = _row(EXTRACTABLE, after, before, tuned, inside)
                yield replace(row, dataset=dataset, module=f"after {prefix}")
            row = _row(STRENGTH, tuned.strength, base.strength, tuned, inside)
            yield replace(row, dataset=dataset)

    @property
    def _tokens(self) -> TokenLogprobs:
        return TokenLogprobs(dataset=ROWS)


def _membership(tuned: Recall, base: Recall) -> Iterator[Measurement]:
    """Others are training rows that were left out if there are any, else test rows without contamination."""
    left_out = tuned.kind == LEFT_OUT
    members = tuned.kind == TRAIN
    others = left_out if left_out.any() else (tuned.kind == TEST) & ~tuned.contaminated
    clusters = clusters_of(tuned.examples)
    change = tuned.logprob - base.logprob

    def area(scores: Floats) -> Interval:
        present = ~np.isnan(scores)
        inside, outside = members & present, others & present
        return auc_interval(*placements(scores[inside], scores[outside]), clusters[inside], clusters[outside])

    def gap(scores: Floats) -> Interval:
        return difference_interval(scores[members], scores[others], clusters[members], clusters[others])

    yield AUC.row(area(change))
    yield replace(AUC_LOSS.row(area(tuned.logprob)), null_value=area(base.logprob).value)
    yield replace(AUC_MIN_K.row(area(tuned.min_k)), null_value=area(base.min_k).value)
    hits = caught(change[members], change[others])
    few = f"{others.sum()} rows that were not trained on cannot show 1 % false alarms"
    found = CAUGHT.interval(hits, clusters[members])
    yield CAUGHT.row(replace(found, why=few) if np.isnan(hits).all() else found)
    yield replace(GAP.row(gap(tuned.logprob)), null_value=gap(base.logprob).value)
    yield GAP_CHANGE.row(gap(change))


def _canaries(tuned: Recall, base: Recall) -> Iterator[Measurement]:
    """Of all planted secrets, and of those planted equally often, those left out among them."""
    repeats, planted, left_out = tuned.repeats, tuned.planted, tuned.repeats == 0
    if not planted.any():
        yield EXPOSURE.row(Interval(value=NAN, why=NO_CANARIES))
        return
    strata = {"": planted} | {_times(n): repeats == n for n in np.unique(repeats[repeats >= 0])}
    exposures = tuned.exposure, base.exposure
    fitted = tuned.fitted_exposure, base.fitted_exposure
    for stratum, inside in strata.items():
        effect = Interval(value=NAN, why=NONE_LEFT_OUT)
        if left_out.any():
            effect = difference_interval(tuned.logprob[inside], tuned.logprob[left_out])
        rows = (
            _row(EXPOSURE, *exposures, tuned, inside),
            EXPOSURE_CHANGE.row(paired_interval(exposures[0][inside], exposures[1][inside])),
            _row(EXTRAPOLATED, *fitted, tuned, inside),
            _row(CANARY_LOGPROB, tuned.logprob, base.logprob, tuned, inside),
            *(() if stratum == _times(0) else (COUNTERFACTUAL.row(effect),)),
        )
        yield from (replace(row, stratum=stratum) for row in rows)
    yield SLOPE.row(_slope(np.log2(repeats[planted]), exposures[0][planted]))
    found = null_uniformity(exposures[0][left_out])
    why = "" if found.n > 1 else NONE_LEFT_OUT
    yield NULL_P.row(Interval(value=found.p, n=found.n, n_clusters=found.n, why=why))


def _contamination(tuned: Recall, base: Recall) -> Iterator[Measurement]:
    test, clusters = tuned.kind == TEST, clusters_of(tuned.examples)
    for sign in SIGNS:
        hit = tuned.sign(sign)[test].astype(np.float64)
        yield replace(CONTAMINATED.row(CONTAMINATED.interval(hit, clusters[test])), stratum=sign)
    change = tuned.logprob - base.logprob
    dirty, clean = test & tuned.contaminated, test & ~tuned.contaminated
    effect = difference_interval(change[dirty], change[clean], clusters[dirty], clusters[clean])
    yield CONTAMINATION.row(effect if dirty.any() else Interval(value=NAN, why="no test row is contaminated"))


def _row(metric: Metric, after: Floats, before: Floats, known: Recall, inside: Bools) -> Measurement:
    """A level with the base's value on the same answers as its null."""
    clusters = clusters_of(known.examples)[inside]
    null = metric.interval(before[inside], clusters).value
    return replace(metric.row(metric.interval(after[inside], clusters)), null_value=null)


def _slope(x: Floats, y: Floats) -> Interval:
    """Least squares, with an interval that leaves out every twentieth canary in turn."""
    if np.ptp(x) == 0:
        return Interval(value=NAN, n=x.size, why="all canaries were planted equally often")
    groups = balanced_groups(np.arange(x.size))

    def fitted(kept: Bools) -> float:
        return float(np.polyfit(x[kept], y[kept], 1)[0]) if np.ptp(x[kept]) else NAN

    left_out = np.array([fitted(groups != g) for g in range(groups.max() + 1)])
    found = jackknife_interval(fitted(np.ones(x.size, dtype=bool)), left_out)
    return replace(found, n=x.size, n_clusters=x.size)


def _canary_items(known: Recall) -> Iterator[Item]:
    for example, repeats, logprob, exposure in zip(
        known.examples, known.repeats, known.logprob, known.exposure, strict=True
    ):
        if repeats >= 0:
            for metric, value in ((CANARY_LOGPROB, logprob), (EXPOSURE, exposure)):
                yield Item(
                    metric=metric.name,
                    item=example.cluster,
                    value=float(value),
                    dataset=CANARIES,
                    stratum=_times(repeats),
                    cluster=example.cluster,
                    target=example.target,
                    prompt=example.prompt,
                )


def _row_items(known: Recall) -> Iterator[Item]:
    """Training rows and rows that were left out of training by lot, for a comparison over runs."""
    if not (known.kind == LEFT_OUT).any():
        return
    for example, kind, logprob in zip(known.examples, known.kind, known.logprob, strict=True):
        if kind in (TRAIN, LEFT_OUT):
            yield Item(
                metric=ROW_LOGPROB,
                item=str(example.meta["row"]),
                value=float(logprob),
                dataset=TRAIN,
                stratum=_times(int(kind == TRAIN)),
                cluster=example.cluster,
                target=example.target,
                prompt=example.prompt,
            )


def _contaminated_items(known: Recall, dataset: str) -> Iterator[Item]:
    """The test rows that training rows give away, with the most similar one where there is one."""
    for example in known.examples:
        if flagged(example):
            similar = example.meta["similar"]
            yield Item(
                metric=CONTAMINATED.name,
                item=str(example.meta["row"]),
                value=1.0,
                dataset=dataset,
                stratum=example.stratum,
                cluster=example.cluster,
                prediction=f"training row {similar}" if similar else "",
                target=example.target,
                prompt=example.prompt,
            )


def _times(repeats: int) -> str:
    return f"{repeats} times"
