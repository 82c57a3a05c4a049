"""What could the base do that the model no longer can?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import isnan
from typing import ClassVar

import numpy as np

from sft_probe.observe.needs import Benchmark, Need
from sft_probe.observe.observations import Observed
from sft_probe.probes import options
from sft_probe.probes.base import About
from sft_probe.probes.rows import Metric
from sft_probe.probes.scorers.documents import (
    NO_MARGINS,
    NO_PAIRS,
    Pair,
    by_task,
    clusters_of_pairs,
    item_of,
    margins_of,
    pairs_of,
    values_of,
)
from sft_probe.schema import NAN, Item, Measurement, Measurements
from sft_probe.stats.contrasts import change_interval, mcnemar, paired_interval
from sft_probe.stats.flips import count_flips
from sft_probe.stats.intervals import Interval

ACCURACY = Metric(name="accuracy", unit="1", better="higher", share=True, absent=NO_PAIRS)
CHANGE = Metric(name="accuracy_change", unit="1", better="higher", null=0.0, absent=NO_PAIRS)
GAINED = Metric(name="gained", unit="1", better="higher", share=True, null=0.0, absent=NO_PAIRS)
LOST = Metric(name="lost", unit="1", better="lower", share=True, null=0.0, absent=NO_PAIRS)
KEPT = Metric(name="kept", unit="1", better="higher", share=True, absent=NO_PAIRS)
NEVER = Metric(name="never", unit="1", better="lower", share=True, absent=NO_PAIRS)
CHURN = Metric(name="churn", unit="1", share=True, null=0.0, absent=NO_PAIRS)
NUMERIC = Metric(name="numeric_churn", unit="1", share=True, null=0.0, absent=NO_MARGINS)
EXCESS = Metric(name="churn_beyond_numerics", unit="1", null=0.0, absent=NO_MARGINS)
KAPPA = Metric(name="flip_kappa", unit="1", better="higher", null=1.0, absent=NO_PAIRS)
MCNEMAR = Metric(name="mcnemar_p", unit="1", absent=NO_PAIRS)
MID_P = Metric(name="mcnemar_mid_p", unit="1", absent=NO_PAIRS)
MARGIN = Metric(name="margin_change", unit="nats", better="higher", null=0.0, absent=NO_MARGINS)
ROUNDING = 1e-3  # nats; ten times what another batch does to a log-likelihood in float32


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
        blind_spots="A lost item may be suppressed, not erased: `lost_items` tries to bring it back. Skills "
        "other than the benchmarks' are not seen.",
        cost="benchmark",
        version=2,
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
        """Rows per task, and pooled over all items as data set "all"; items with answer and with margin."""
        pairs = pairs_of(base[self._benchmark], seen[self._benchmark])
        tasks = dict.fromkeys(item.task for item in seen[self._benchmark].items)
        empty: dict[str, list[Pair]] = {task: [] for task in tasks}
        found = empty | by_task(pairs)
        rows = [row for dataset, own in found.items() for row in _rows(own, dataset)]
        return Measurements(tuple(rows), tuple(_items(pairs)))

    @property
    def _benchmark(self) -> Benchmark:
        return Benchmark(
            tasks=self.tasks,
            limit=self.limit,
            num_fewshot=self.num_fewshot,
            apply_chat_template=self.apply_chat_template,
        )


def _rows(pairs: Sequence[Pair], dataset: str) -> Iterator[Measurement]:
    before, after = values_of(pairs)
    clusters = clusters_of_pairs(pairs)
    accuracy = ACCURACY.row(ACCURACY.interval(after, clusters), dataset=dataset)
    yield replace(accuracy, null_value=float(before.mean()) if before.size else NAN)
    yield CHANGE.row(change_interval(after, before, clusters), dataset=dataset)
    gained, lost, kept, never = after > before, after < before, after * before > 0, after + before == 0
    shares = ((GAINED, gained), (LOST, lost), (KEPT, kept), (NEVER, never), (CHURN, gained | lost))
    for metric, share in shares:
        yield metric.row(metric.interval(share.astype(np.float64), clusters), dataset=dataset)
    flips = count_flips(after, before)
    tests = mcnemar(flips.gained, flips.lost)
    exact, mid = (tests.exact, tests.mid) if pairs else (NAN, NAN)
    for metric, value in ((MCNEMAR, exact), (MID_P, mid), (KAPPA, _kappa(flips.kappa, flips.n))):
        yield metric.row(Interval(value=value, n=len(pairs)), dataset=dataset)
    then, now = margins_of(pairs)
    near = np.where(np.isnan(then), NAN, np.abs(then) <= ROUNDING)
    yield NUMERIC.row(NUMERIC.interval(near, clusters), dataset=dataset)
    yield EXCESS.row(EXCESS.interval((gained | lost) - near, clusters), dataset=dataset)
    yield MARGIN.row(paired_interval(now, then, clusters), dataset=dataset)


def _kappa(value: float, n: int) -> float:
    """Answers that are all alike before and after agree fully, though kappa is undefined there."""
    return 1.0 if n and isnan(value) else value


def _items(pairs: Sequence[Pair]) -> Iterator[Item]:
    for pair in pairs:
        yield item_of(pair.after, "correct", pair.after.value)
        if not isnan(pair.after.margin):
            yield replace(
                item_of(pair.after, "margin", pair.after.margin), prediction="", target="", prompt=""
            )
