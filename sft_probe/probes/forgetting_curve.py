"""When during training is something lost?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import isnan
from typing import ClassVar

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
from sft_probe.stats.contrasts import change_interval, paired_interval

RETAINED = Metric(name="retained_accuracy", unit="1", better="higher", share=True, absent=NO_PAIRS)
CHANGE = Metric(name="retained_accuracy_change", unit="1", better="higher", null=0.0, absent=NO_PAIRS)
MARGIN = Metric(name="retained_margin_change", unit="nats", better="higher", null=0.0, absent=NO_MARGINS)


@dataclass(frozen=True, kw_only=True)
class ForgettingCurve:
    """A few documents of each benchmark at every look, so that losses have a time.

    tasks, num_fewshot, apply_chat_template: as in `forgetting`. limit: documents per task.
    """

    name: ClassVar[str] = "forgetting_curve"
    about: ClassVar[About] = About(
        question="When during training is something lost?",
        axis="when",
        source="Westfall & Young 1993 (one error rate for all looks); lm-eval (scores)",
        null="the base's value at every step; change 0",
        blind_spots="Few documents: a loss of some points is not seen, margins see it earlier. Between two "
        "looks nothing is known.",
        cost="benchmark",
        headline=("retained_accuracy", "retained_margin_change"),
    )

    tasks: tuple[str, ...] = ("world",)
    limit: int = 24
    num_fewshot: int | None = None
    apply_chat_template: bool = False

    def __post_init__(self) -> None:
        options.names(self.name, tasks=self.tasks)
        options.at_least(self.name, 1, limit=self.limit)
        options.at_least(self.name, 0, num_fewshot=self.num_fewshot)

    def needs(self) -> tuple[Need, ...]:
        """The first documents of each task."""
        return (self._benchmark,)

    def measure(self, seen: Observed, base: Observed) -> Measurements:
        """Rows per task and pooled; items "retained" and "retained_margin", from which times are told."""
        pairs = pairs_of(base[self._benchmark], seen[self._benchmark])
        rows = [row for dataset, own in by_task(pairs).items() for row in _rows(own, dataset)]
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
    (before, after), (then, now) = values_of(pairs), margins_of(pairs)
    clusters = clusters_of_pairs(pairs)
    retained = RETAINED.row(RETAINED.interval(after, clusters), dataset=dataset)
    yield replace(retained, null_value=float(before.mean()) if before.size else NAN)
    yield CHANGE.row(change_interval(after, before, clusters), dataset=dataset)
    yield MARGIN.row(paired_interval(now, then, clusters), dataset=dataset)


def _items(pairs: Sequence[Pair]) -> Iterator[Item]:
    for pair in pairs:
        yield item_of(pair.after, "retained", pair.after.value)
        if not isnan(pair.after.margin):
            yield replace(
                item_of(pair.after, "retained_margin", pair.after.margin), prediction="", target="", prompt=""
            )
