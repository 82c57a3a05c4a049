"""From one value per example to measurement rows with intervals, and to item rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import isnan, nan

import numpy as np

from sft_probe.data.examples import Example
from sft_probe.observe.observations import Bools
from sft_probe.schema import Better, Item, Measurement, Measurements
from sft_probe.stats.intervals import (
    Floats,
    Interval,
    Ints,
    cluster_codes,
    mean_interval,
    share_interval,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """What is constant over all rows of a metric.

    share: values lie in [0, 1], so intervals are Wilson's and stay inside.
    absent: the reason to give where the metric applies to no example.
    """

    name: str
    unit: str
    better: Better = "neither"
    share: bool = False
    null: float = nan
    absent: str = ""

    def interval(self, values: Floats, clusters: Ints | None = None) -> Interval:
        """The interval that suits the metric; NaN values do not apply and are not counted."""
        return (share_interval if self.share else mean_interval)(values, clusters)

    def row(
        self,
        interval: Interval,
        *,
        dataset: str = "",
        stratum: str = "",
        layer: int = -1,
        module: str = "",
    ) -> Measurement:
        """The interval as a row of this metric."""
        return Measurement(
            metric=self.name,
            value=interval.value,
            unit=self.unit,
            dataset=dataset,
            stratum=stratum,
            layer=layer,
            module=module,
            se=interval.se,
            ci_low=interval.low,
            ci_high=interval.high,
            n=interval.n,
            n_clusters=interval.n_clusters,
            null_value=self.null,
            better=self.better,
            why=self.absent if self.absent and isnan(interval.value) else interval.why,
        )


Scored = Mapping[Metric, Floats]  # one value per example; NaN where the metric does not apply


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """Examples of one data set, in order, and what the model said to each."""

    dataset: str
    examples: tuple[Example, ...]
    predictions: tuple[str, ...]

    def measurements(self, scored: Scored, base: Scored) -> Measurements:
        """Rows over all examples, and per stratum if there are several; one item per example it applies to.

        The null of every row is the base's value on the same examples.
        """
        rows = (row for metric in scored for row in self._rows(metric, scored[metric], base[metric]))
        items = (item for metric in scored for item in self._items(metric, scored[metric]))
        return Measurements(tuple(rows), tuple(items))

    def _rows(self, metric: Metric, values: Floats, base: Floats) -> Iterator[Measurement]:
        clusters = clusters_of(self.examples)
        for stratum, inside in self.strata():
            if stratum and np.isnan(values[inside]).all():
                continue  # the row over all examples says whether it applies anywhere
            null = metric.interval(base[inside]).value
            interval = metric.interval(values[inside], clusters[inside])
            yield replace(metric.row(interval, dataset=self.dataset, stratum=stratum), null_value=null)

    def strata(self) -> Iterator[tuple[str, Bools]]:
        """All examples under the empty name, then each named stratum if there is more than one."""
        names = np.array([example.stratum for example in self.examples], dtype=object)
        yield "", np.ones(len(names), dtype=bool)
        distinct = dict.fromkeys(names.tolist())
        if len(distinct) > 1:
            yield from ((name, names == name) for name in distinct if name)

    def _items(self, metric: Metric, values: Floats) -> Iterator[Item]:
        for example, prediction, value in zip(self.examples, self.predictions, values, strict=True):
            if not isnan(value):
                yield Item(
                    metric=metric.name,
                    item=example.id,
                    value=float(value),
                    dataset=self.dataset,
                    stratum=example.stratum,
                    cluster=example.cluster,
                    prediction=prediction,
                    target=example.target,
                    prompt=example.prompt,
                )


def clusters_of(examples: Sequence[Example]) -> Ints:
    """Cluster number of each example; one without a cluster is its own."""
    return cluster_codes([example.cluster for example in examples])
