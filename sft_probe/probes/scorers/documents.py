"""Documents of benchmarks before and after, item by item, as the probes of forgetting judge them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from sft_probe.observe.observations import BenchmarkItem, BenchmarkSeen, Floats, Ints
from sft_probe.schema import Item
from sft_probe.stats.intervals import cluster_codes

ALL = "all"
PREFERRED = ("acc", "exact_match", "acc_norm")  # of lm-eval's per-document metrics, the one that is judged
NO_PAIRS = "no right-or-wrong item was seen both before and after"
NO_MARGINS = "no item has a margin before and after"

Key = tuple[str, str]  # task and document


@dataclass(frozen=True, slots=True)
class Pair:
    """One document before and after."""

    before: BenchmarkItem
    after: BenchmarkItem

    @property
    def key(self) -> Key:
        """Task and document."""
        return self.after.task, self.after.item

    @property
    def fate(self) -> str:
        """ "kept", "lost", "gained" or "never"."""
        return _FATES[self.before.value > 0.5, self.after.value > 0.5]


_FATES = {(True, True): "kept", (True, False): "lost", (False, True): "gained", (False, False): "never"}


def pairs_of(before: BenchmarkSeen, after: BenchmarkSeen) -> list[Pair]:
    """Documents scored right or wrong both times, by the metric each task is judged by."""
    judged_by = _judged_by((*before.items, *after.items))
    earlier = {
        (item.task, item.item): item for item in before.items if item.metric == judged_by.get(item.task)
    }
    return [
        Pair(earlier[item.task, item.item], item)
        for item in after.items
        if item.metric == judged_by.get(item.task) and (item.task, item.item) in earlier
    ]


def right_in(seen: BenchmarkSeen, alike: Sequence[Pair]) -> set[Key]:
    """Documents answered rightly in another look, by the metrics that the pairs were judged by."""
    judged_by = {pair.after.task: pair.after.metric for pair in alike}
    return {
        (item.task, item.item)
        for item in seen.items
        if item.metric == judged_by.get(item.task) and item.value > 0.5
    }


def right_otherwise(seen: BenchmarkSeen, alike: Sequence[Pair]) -> set[Key]:
    """Documents that another filter of the same metric finds right in the same answer: lost by form alone."""
    judged_by = {pair.after.task: pair.after.metric for pair in alike}
    return {
        (item.task, item.item)
        for item in seen.items
        if item.value == 1.0
        and item.metric != (judged := judged_by.get(item.task, ""))
        and item.metric.partition(",")[0] == judged.partition(",")[0]
    }


def by_task(pairs: Sequence[Pair]) -> dict[str, list[Pair]]:
    """The pairs of each task, then all of them."""
    tasks = dict.fromkeys(pair.after.task for pair in pairs)
    return {**{task: [p for p in pairs if p.after.task == task] for task in tasks}, ALL: list(pairs)}


def values_of(pairs: Sequence[Pair]) -> tuple[Floats, Floats]:
    """Before and after: (n,) zeros and ones."""
    return (
        np.array([pair.before.value for pair in pairs], dtype=np.float64),
        np.array([pair.after.value for pair in pairs], dtype=np.float64),
    )


def margins_of(pairs: Sequence[Pair]) -> tuple[Floats, Floats]:
    """Before and after: (n,) log-likelihood of the right choice minus the best wrong one, NaN without."""
    return (
        np.array([pair.before.margin for pair in pairs], dtype=np.float64),
        np.array([pair.after.margin for pair in pairs], dtype=np.float64),
    )


def clusters_of_pairs(pairs: Iterable[Pair]) -> Ints:
    """Clusters of two tasks are different even if they share a name, which is often a row number."""
    documents = [pair.after for pair in pairs]
    return cluster_codes([f"{d.task}/{d.cluster}" if d.cluster else "" for d in documents])


def item_of(document: BenchmarkItem, metric: str, value: float, *, stratum: str = "") -> Item:
    """A document as an item of a probe, with the answer given."""
    return Item(
        metric=metric,
        item=document.item,
        value=value,
        dataset=document.task,
        stratum=stratum,
        cluster=document.cluster,
        prediction=document.prediction,
        target=document.target,
        prompt=document.prompt,
    )


def _judged_by(items: Sequence[BenchmarkItem]) -> dict[str, str]:
    """Per task, of the metrics that are 0 or 1 for every document the preferred one, else the first."""
    values: dict[tuple[str, str], set[float]] = {}
    for item in items:
        values.setdefault((item.task, item.metric), set()).add(item.value)
    found: dict[str, list[str]] = {}
    for (task, metric), seen in values.items():
        if seen <= {0.0, 1.0}:
            found.setdefault(task, []).append(metric)
    return {task: min(metrics, key=_preference) for task, metrics in found.items()}


def _preference(metric: str) -> int:
    """Place in `PREFERRED`; a metric of a filter is named `metric,filter`."""
    name = metric.partition(",")[0]
    return PREFERRED.index(name) if name in PREFERRED else len(PREFERRED)
