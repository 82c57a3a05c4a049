"""How does the model fare on data it was not tuned on, near and far?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from scipy.special import softmax

from sft_probe.data.examples import Dataset, DataSets
from sft_probe.errors import NotApplicable
from sft_probe.measures.calibration import calibration
from sft_probe.observe.needs import Need, Scores
from sft_probe.observe.observations import Bools, Floats, Observed, ScoresSeen
from sft_probe.probes import options
from sft_probe.probes.base import About
from sft_probe.probes.rows import Metric, clusters_of
from sft_probe.schema import NAN, Item, Measurement, Measurements
from sft_probe.stats.contrasts import change_interval, paired_interval
from sft_probe.stats.groups import worst_group_interval
from sft_probe.stats.intervals import Interval, Ints, student_t
from sft_probe.stats.two_samples import difference_interval

ROWS = "domain_generalisation.rows"
DOMAIN = "domain_generalisation_domain"  # in `Example.meta`
OWN, NEAR, FAR = "own", "near", "far"

NO_CHOICES = "no example has choices"
NO_DOMAIN = "no data set is of this distance"
LOGPROB = Metric(name="domain_logprob", unit="nats/token", better="higher", absent=NO_DOMAIN)
LOGPROB_CHANGE = Metric(
    name="domain_logprob_change", unit="nats/token", better="higher", null=0.0, absent=NO_DOMAIN
)
ACCURACY = Metric(name="domain_accuracy", unit="1", better="higher", share=True, absent=NO_CHOICES)
ACCURACY_CHANGE = Metric(
    name="domain_accuracy_change", unit="1", better="higher", null=0.0, absent=NO_CHOICES
)
GREEDY = Metric(name="domain_exact_share", unit="1", better="higher", share=True, absent=NO_DOMAIN)
ERROR = Metric(name="domain_calibration_error", unit="1", better="lower", absent=NO_CHOICES)
CHANCE = Metric(name="domain_calibration_error_by_chance", unit="1", absent=NO_CHOICES)
WORST = Metric(name="worst_domain_accuracy", unit="1", better="higher", share=True, absent=NO_CHOICES)
WORST_CHANGE = Metric(
    name="worst_domain_logprob_change", unit="nats/token", better="higher", null=0.0, absent=NO_DOMAIN
)
TRANSFER = Metric(
    name="transfer_gap", unit="nats/token", better="higher", null=0.0, absent="the study has no other domain"
)


@dataclass(frozen=True, kw_only=True)
class DomainGeneralisation:
    """Expected answers and texts of every data set of the study but the training rows, before and after.

    dataset: the tuned domain, held out. near: names of data sets like it; all others are far. limit: rows of
    each data set.
    """

    name: ClassVar[str] = "domain_generalisation"
    about: ClassVar[About] = About(
        question="How does the model fare on data it was not tuned on, near and far?",
        axis="cost",
        source="Sagawa et al. 2020 (worst group); Guo et al. 2017 (calibration error, with its null by "
        "resampling); Miller 2024 (paired changes)",
        null="the base on the same rows; changes 0",
        blind_spots="What is near is what the study says is near. Likelihood sees form and content alike, "
        "accuracy only choices. Domains that the study does not name are not seen.",
        cost="forward",
        headline=("worst_domain_logprob_change", "transfer_gap", "worst_domain_accuracy"),
    )

    dataset: str = "test"
    near: tuple[str, ...] = ()
    limit: int = 60

    def __post_init__(self) -> None:
        options.name(self.name, dataset=self.dataset)
        options.at_least(self.name, 2, limit=self.limit)
        if self.near:
            options.names(self.name, near=self.near)

    def derive(self, data: DataSets) -> Mapping[str, Dataset]:
        """The first rows of each data set. Raises: NotApplicable if there is no other domain."""
        for name in (self.dataset, *self.near):
            data[name]
        names = [name for name in data if name not in ("train", self.dataset) and len(data[name])]
        if not names:
            raise NotApplicable("the study has no data set besides training and test rows")
        rows = tuple(
            replace(row, id=f"{name}/{row.id}", meta={**row.meta, DOMAIN: name})
            for name in (self.dataset, *names)
            for row in data[name].examples[: self.limit]
        )
        return {ROWS: Dataset(ROWS, rows, "first rows of each data set of the study")}

    def needs(self) -> tuple[Need, ...]:
        """Likelihoods of expected answers, whole texts and choices."""
        return (Scores(dataset=ROWS),)

    def measure(self, seen: Observed, base: Observed) -> Measurements:
        """Rows by domain (column data set) and by distance (stratum); items with log-probability change."""
        now, then = (_Scored.of(look[Scores(dataset=ROWS)]) for look in (seen, base))
        rows = seen[Scores(dataset=ROWS)].examples
        names = np.array([str(row.meta[DOMAIN]) for row in rows], dtype=object)
        clusters = clusters_of(rows)
        found = [
            row
            for name in dict.fromkeys(names.tolist())
            for row in _domain_rows(now, then, names == name, clusters, name)
        ]
        distance = np.array([self._distance(name) for name in names], dtype=object)
        change = now.logprob - then.logprob
        for stratum in dict.fromkeys((OWN, *((NEAR,) if self.near else ()), FAR)):
            inside = distance == stratum
            interval = paired_interval(now.logprob[inside], then.logprob[inside], clusters[inside])
            found.append(LOGPROB_CHANGE.row(interval, stratum=stratum))
        found += _summaries(now, then, names, distance, clusters)
        items = (
            Item(
                metric=LOGPROB_CHANGE.name,
                item=row.id,
                value=float(value),
                dataset=str(row.meta[DOMAIN]),
                stratum=row.stratum,
                cluster=row.cluster,
                target=row.target,
                prompt=row.prompt,
            )
            for row, value in zip(rows, change, strict=True)
            if np.isfinite(value)
        )
        return Measurements(tuple(found), tuple(items))

    def _distance(self, name: str) -> str:
        return OWN if name == self.dataset else NEAR if name in self.near else FAR


@dataclass(frozen=True, slots=True)
class _Scored:
    """Per row: log-probability per token, whether greedy decoding gives the whole answer, and of rows with
    choices whether the right one is likeliest, and how sure of its choice the model is; else NaN."""

    logprob: Floats
    greedy: Floats
    right: Floats
    confidence: Floats

    @classmethod
    def of(cls, seen: ScoresSeen) -> _Scored:
        right, confidence = np.full(len(seen.examples), NAN), np.full(len(seen.examples), NAN)
        for i, (row, logprob) in enumerate(zip(seen.examples, seen.choice_logprob, strict=True)):
            if len(row.choices) > 1 and row.target in row.choices:
                chances = softmax(logprob)
                right[i] = float(int(np.argmax(chances)) == row.choices.index(row.target))
                confidence[i] = float(chances.max())
        tokens = np.where(seen.target_tokens > 0, seen.target_tokens, NAN)
        return cls(seen.target_logprob / tokens, seen.target_greedy.astype(float), right, confidence)


def _domain_rows(
    now: _Scored, then: _Scored, inside: Bools, clusters: Ints, name: str
) -> Iterator[Measurement]:
    own = clusters[inside]
    for metric, after, before in (
        (LOGPROB, now.logprob, then.logprob),
        (GREEDY, now.greedy, then.greedy),
        (ACCURACY, now.right, then.right),
    ):
        row = metric.row(metric.interval(after[inside], own), dataset=name)
        yield replace(row, null_value=metric.interval(before[inside]).value)
    interval = paired_interval(now.logprob[inside], then.logprob[inside], own)
    yield LOGPROB_CHANGE.row(interval, dataset=name)
    known = inside & ~np.isnan(now.right)
    change = change_interval(now.right[known], then.right[known], clusters[known])
    yield ACCURACY_CHANGE.row(change, dataset=name)
    errors, before_errors = (
        calibration(look.confidence[known], look.right[known], np.random.default_rng(0))
        for look in (now, then)
    )
    count = int(known.sum())
    error = ERROR.row(Interval(value=errors.error, n=count), dataset=name)
    yield replace(error, null_value=before_errors.error)
    yield CHANCE.row(Interval(value=errors.null, n=count), dataset=name)


def _summaries(
    now: _Scored, then: _Scored, names: np.ndarray, distance: np.ndarray, clusters: Ints
) -> Iterator[Measurement]:
    """The worst of the domains that were not tuned on, and how far the tuned one is ahead of them."""
    other = distance != OWN
    codes = np.unique(names.astype(str), return_inverse=True)[1]
    worst, before = (
        worst_group_interval(np.where(other, look.right, NAN), codes, clusters) for look in (now, then)
    )
    yield replace(WORST.row(worst), null_value=before.value)
    change = now.logprob - then.logprob
    by_domain = {
        name: paired_interval(
            now.logprob[names == name], then.logprob[names == name], clusters[names == name]
        )
        for name in dict.fromkeys(names[other].tolist())
    }
    lowest = min(by_domain.values(), key=lambda interval: interval.value)
    yield WORST_CHANGE.row(_simultaneous(lowest, by_domain))
    yield TRANSFER.row(difference_interval(change[other], change[~other], clusters[other], clusters[~other]))


def _simultaneous(lowest: Interval, by_domain: Mapping[str, Interval]) -> Interval:
    """The lowest of several changes with limits that hold for all at once (Bonferroni)."""
    reach = [
        (found.value, student_t(1 - 0.05 / len(by_domain), found.df) * found.se)
        for found in by_domain.values()
        if not found.why
    ]
    if len(reach) < len(by_domain):
        return Interval(value=lowest.value, n=lowest.n, why="a domain has one cluster")
    return replace(
        lowest,
        low=min(value - half for value, half in reach),
        high=min(value + half for value, half in reach),
        how=f"simultaneous over {len(by_domain)} domains",
    )
