"""Probabilities of labels before and after, and rows of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import numpy as np

from sft_probe.data.annotations import clean_label
from sft_probe.data.examples import Example
from sft_probe.observe.observations import Bools, Floats, Ints
from sft_probe.probes.rows import Metric, clusters_of
from sft_probe.schema import NAN, Measurement
from sft_probe.stats.intervals import Interval
from sft_probe.stats.resampling import IDENTITY, Scale, balanced_groups, jackknife_interval

OfRows = Callable[[Floats], Floats]
"""From probabilities (n, K) to one value per row (n,)."""
OfChosen = Callable[[Floats, Bools], float]
"""From probabilities (n, K) and chosen rows (n,) to one value."""


@dataclass(frozen=True, kw_only=True)
class Compared:
    """Labelled rows of one data set. given: (n,) their targets. tuned, base: (n, K) probabilities."""

    dataset: str
    labels: tuple[str, ...]
    examples: tuple[Example, ...]
    given: Ints
    tuned: Floats
    base: Floats

    @property
    def clusters(self) -> Ints:
        """(n,) cluster numbers."""
        return clusters_of(self.examples)

    @property
    def clean(self) -> Ints:
        """(n,) labels before any edit."""
        return self.numbers(clean_label(example) for example in self.examples)

    def numbers(self, labels: Iterable[str]) -> Ints:
        """Labels as numbers; -1 for anything else."""
        number = {label: k for k, label in enumerate(self.labels)}
        return np.array([number.get(label, -1) for label in labels], dtype=np.int64)

    def among(self, chosen: Bools) -> Compared:
        """The same for some of the rows."""
        kept = tuple(example for example, here in zip(self.examples, chosen, strict=True) if here)
        own = {name: getattr(self, name)[chosen] for name in ("given", "tuned", "base")}
        return replace(self, examples=kept, **own)

    def row(self, metric: Metric, of: OfRows, *, stratum: str = "", module: str = "") -> Measurement:
        """The mean over rows of what `of` makes of probabilities; the null is the base's."""
        null = metric.interval(of(self.base)).value
        interval = metric.interval(of(self.tuned), self.clusters)
        row = metric.row(interval, dataset=self.dataset, stratum=stratum, module=module)
        return replace(row, null_value=null)

    def jackknife(
        self, metric: Metric, of: OfChosen, *, scale: Scale = IDENTITY, why: str = ""
    ) -> Measurement:
        """A statistic that is no mean, with groups of clusters left out. why: for where it is undefined."""
        groups, everything = balanced_groups(self.clusters), np.ones(len(self.examples), dtype=bool)
        value = of(self.tuned, everything)
        left_out = np.array([of(self.tuned, groups != g) for g in np.unique(groups)])
        interval = replace(
            jackknife_interval(value, left_out, scale=scale),
            n=len(groups),
            n_clusters=len(np.unique(self.clusters)),
        )
        if np.isnan(value):
            interval = Interval(value=NAN, n=len(groups), why=why)
        row = metric.row(interval, dataset=self.dataset)
        return replace(row, null_value=of(self.base, everything))


def of_label(label: Ints) -> OfRows:
    """The probability of each row's label."""
    return lambda model: model[np.arange(len(label)), label]


def off_label(label: Ints) -> OfRows:
    """The probability of all other labels."""
    return lambda model: 1 - of_label(label)(model)


def of_number(k: int) -> OfRows:
    """The probability of the k-th label."""
    return lambda model: model[:, k]


def chooses(label: Ints) -> OfRows:
    """1 where each row's label is the likeliest, else 0."""
    return lambda model: equal(model.argmax(1), label)


def equal(a: Ints, b: Ints) -> Floats:
    """1 where two arrays agree, else 0."""
    agree: Floats = (a == b).astype(np.float64)
    return agree
