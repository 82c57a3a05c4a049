"""What could the base do that the model no longer can?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from sft_probe.observe.needs import Benchmark, Need
from sft_probe.observe.observations import BenchmarkItem, BenchmarkSeen, Observed
from sft_probe.probes import options
from sft_probe.probes.base import About
from sft_probe.probes.rows import Metric
from sft_probe.schema import NAN, Item, Measurement, Measurements
from sft_probe.stats.contrasts import change_interval, mcnemar, paired_interval
from sft_probe.stats.intervals import Interval, cluster_codes

ALL = "all"
PREFERRED = ("acc", "exact_match", "acc_norm")  # of lm-eval's per-document metrics, the one that is judged

NO_PAIRS = "no right-or-wrong item was seen both before and after"
ACCURACY = Metric(name="accuracy", unit="1", better="higher", share=True, absent=NO_PAIRS)
CHANGE = Metric(name="accuracy_change", unit="1", better="higher", null=0.0, absent=NO_PAIRS)
GAINED = Metric(name="gained", unit="1", better="higher", share=True, null=0.0, absent=NO_PAIRS)
LOST = Metric(name="lost", unit="1", better="lower", share=True, null=0.0, absent=NO_PAIRS)
CHURN = Metric(name="churn", unit="1", share=True, null=0.0, absent=NO_PAIRS)
MCNEMAR = Metric(name="mcnemar_p", unit="1", absent=NO_PAIRS)
MARGIN = Metric(
    name="margin_change",
    unit="nats",
    better="higher",
    null=0.0,
    absent="no item has a margin before and after",
)


@dataclass(frozen=True, slots=True)
class Pair:
    """One document before and after."""

    before: BenchmarkItem
    after: BenchmarkItem


@dataclass(frozen=True, kw_only=True)
class Forgetting:
    """Benchmark documents before and after, item by item, per task and pooled.

    tasks: names of lm-eval tasks or groups.  limit: documents per task.
    """

    name: ClassVar[str] = "forgetting"
    about: ClassVar[About] = About(
        question="What could the base do that the model no longer can?",
        axis="cost",
        source="McNemar 1947 (exact test); Tango 1998 (interval of a paired change); lm-eval (scores)",
        null="change 0 and as many items gained as lost; even a harmless run flips some items both ways",
        blind_spots="A lost item may be suppressed, not erased: nothing here tries to bring it back. Skills "
        "other than the benchmarks' are not seen.",
        cost="benchmark",
    )

    tasks: tuple[str, ...] = ("world",)
    limit: int | None = None
    num_fewshot: int | None = None
    apply_chat_template: bool = False

    def __post_init__(self) -> None:
        options.names(self.name, tasks=self.tasks)
        options.at_least(self.name, 1, limit=self.limit)
        options.at_least(self.name, 0, num_fewshot=self.num_fewshot)

    def needs(self) -> tuple[Need, ...]:
        """Every document's score."""
        return (self._benchmark,)

    def measure(self, seen: Observed, base: Observed) -> Measurements:
        """Rows per task, and pooled over all items as data set "all"; an item per document."""
        after, before = seen[self._benchmark], base[self._benchmark]
        pairs = _pairs(before, after)
        tasks = dict.fromkeys(item.task for item in after.items)
        rows = [row for task in tasks for row in _rows([p for p in pairs if p.after.task == task], task)]
        return Measurements((*rows, *_rows(pairs, ALL)), tuple(_item(pair.after) for pair in pairs))

    @property
    def _benchmark(self) -> Benchmark:
        return Benchmark(
            tasks=self.tasks,
            limit=self.limit,
            num_fewshot=self.num_fewshot,
            apply_chat_template=self.apply_chat_template,
        )


def _pairs(before: BenchmarkSeen, after: BenchmarkSeen) -> list[Pair]:
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


def _rows(pairs: Sequence[Pair], dataset: str) -> Iterator[Measurement]:
    before = np.array([pair.before.value for pair in pairs], dtype=np.float64)
    after = np.array([pair.after.value for pair in pairs], dtype=np.float64)
    clusters = cluster_codes([_cluster(pair.after) for pair in pairs])
    gained, lost = after > before, after < before
    accuracy = ACCURACY.row(ACCURACY.interval(after, clusters), dataset=dataset)
    yield replace(accuracy, null_value=float(before.mean()) if before.size else NAN)
    yield CHANGE.row(change_interval(after, before, clusters), dataset=dataset)
    for metric, flipped in ((GAINED, gained), (LOST, lost), (CHURN, gained | lost)):
        yield metric.row(metric.interval(flipped.astype(np.float64), clusters), dataset=dataset)
    test = mcnemar(int(gained.sum()), int(lost.sum())).exact if pairs else NAN
    yield MCNEMAR.row(Interval(value=test, n=len(pairs)), dataset=dataset)
    margins = np.array([[pair.before.margin, pair.after.margin] for pair in pairs]).reshape(-1, 2)
    yield MARGIN.row(paired_interval(margins[:, 1], margins[:, 0], clusters), dataset=dataset)


def _cluster(document: BenchmarkItem) -> str:
    """Clusters of two tasks are different even if they share a name, which is often a row number."""
    return f"{document.task}/{document.cluster}" if document.cluster else ""


def _item(document: BenchmarkItem) -> Item:
    return Item(
        metric="correct",
        item=document.item,
        value=document.value,
        dataset=document.task,
        cluster=document.cluster,
        prediction=document.prediction,
        target=document.target,
        prompt=document.prompt,
    )
