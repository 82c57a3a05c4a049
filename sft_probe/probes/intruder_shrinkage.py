"""Do intruder dimensions carry what was forgotten? Shrink them and see."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from sft_probe.data.examples import Dataset, DataSets
from sft_probe.errors import NotApplicable
from sft_probe.observe.interventions import ShrinkIntruders
from sft_probe.observe.needs import Need, TokenDivergence
from sft_probe.observe.observations import Floats, Observed, TokenDivergenceSeen
from sft_probe.probes import options
from sft_probe.probes.base import About
from sft_probe.probes.rows import Metric, clusters_of
from sft_probe.schema import Measurement, Measurements

KEPT = "intruder_shrinkage.kept"
ROUNDING = 1e-6  # nats/token; less than that is the order of float32 sums
TASK = Metric(name="shrunk_task_loss_change", unit="nats/token", better="lower", null=0.0)
DRIFT = Metric(name="shrunk_drift_change", unit="nats/token", better="lower", null=0.0)
TASK_NEIGHBOUR = Metric(name="neighbour_task_loss_change", unit="nats/token", better="lower", null=0.0)
DRIFT_NEIGHBOUR = Metric(name="neighbour_drift_change", unit="nats/token", better="lower", null=0.0)
TASK_EXTRA = Metric(name="shrunk_task_loss_extra", unit="nats/token", better="lower", null=0.0)
DRIFT_EXTRA = Metric(name="shrunk_drift_extra", unit="nats/token", better="lower", null=0.0)


@dataclass(frozen=True, kw_only=True)
class IntruderShrinkage:
    """Loss on the task and drift on other text with the largest intruder of every matrix shrunk, against its
    neighbour by singular value shrunk likewise.

    factors: what the singular value is multiplied with, in [0, 1]; the first gives the main rows. dataset:
    the task. kept: text that was not to change; "" takes all data sets but train and test. epsilon, k: what
    counts as an intruder, as in intruder_dimensions. limit: rows of each data set.
    """

    name: ClassVar[str] = "intruder_shrinkage"
    about: ClassVar[About] = About(
        question="Do intruder dimensions carry what was forgotten, or what was learned?",
        axis="where",
        source="Shuttleworth et al. 2024, LoRA vs Full Fine-tuning (arXiv 2410.21228), the causal test",
        null="0, exactly so where no matrix has an intruder; and the same for intruder and neighbour",
        blind_spots="Only the largest intruder of each matrix is shrunk. Drift is KL from the base on text "
        "that was not to change, which need not be lost skill.",
        cost="forward",
        headline=("shrunk_drift_change", "shrunk_task_loss_change", "shrunk_drift_extra"),
    )

    factors: tuple[float, ...] = (0.3,)
    dataset: str = "test"
    kept: str = ""
    epsilon: float = 0.5
    k: int = 10
    limit: int = 60

    def __post_init__(self) -> None:
        options.name(self.name, dataset=self.dataset)
        options.share(self.name, epsilon=self.epsilon)
        options.at_least(self.name, 1, k=self.k, limit=self.limit)
        for factor in self.factors:
            options.share(self.name, factors=factor)

    def derive(self, data: DataSets) -> Mapping[str, Dataset]:
        """The first rows of each data set whose answers were not to change.

        Raises: NotApplicable if there is none besides train and test.
        """
        names = [self.kept] if self.kept else [name for name in data if name not in ("train", "test")]
        rows = [
            replace(row, id=f"{name}/{row.id}", choices=(), meta={})
            for name in names
            for row in data[name].examples[: self.limit]
        ]
        if not rows:
            raise NotApplicable("there is no data set besides train and test on which nothing was to change")
        return {KEPT: Dataset(KEPT, tuple(rows), "rows of the data sets of the study")}

    def needs(self) -> tuple[Need, ...]:
        """Predictions on the task and on other text, of the model as it is and with directions shrunk."""
        plain = (None, *self._changes())
        return tuple(self._look(name, change) for name in (self.dataset, KEPT) for change in plain)

    def measure(self, seen: Observed, base: Observed) -> Measurements:
        """Paired changes per factor (`module`), and for the first factor without a module; items of that."""
        rows = [
            replace(row, module=module)
            for index, factor in enumerate(self.factors)
            for row in self._rows(seen, factor)
            for module in ((f"factor {factor:g}", "") if index == 0 else (f"factor {factor:g}",))
        ]
        return Measurements(tuple(rows))

    def _rows(self, seen: Observed, factor: float) -> Iterator[Measurement]:
        for name, judge, metrics in (
            (self.dataset, _loss, (TASK, TASK_NEIGHBOUR, TASK_EXTRA)),
            (KEPT, _drift, (DRIFT, DRIFT_NEIGHBOUR, DRIFT_EXTRA)),
        ):
            plain = judge(seen[self._look(name, None)])
            intruder, neighbour = (
                _beyond_rounding(judge(seen[self._look(name, self._change(factor, instead=instead))]) - plain)
                for instead in (False, True)
            )
            clusters = clusters_of(seen[self._look(name, None)].examples)
            for metric, values in zip(metrics, (intruder, neighbour, intruder - neighbour), strict=True):
                yield metric.row(metric.interval(values, clusters), dataset=name)

    def _changes(self) -> Iterator[ShrinkIntruders]:
        for factor in self.factors:
            yield self._change(factor, instead=False)
            yield self._change(factor, instead=True)

    def _change(self, factor: float, *, instead: bool) -> ShrinkIntruders:
        return ShrinkIntruders(factor, epsilon=self.epsilon, k=self.k, instead=instead)

    def _look(self, name: str, change: ShrinkIntruders | None) -> TokenDivergence:
        return TokenDivergence(dataset=name, limit=self.limit, under=(change,) if change else ())


def _loss(look: TokenDivergenceSeen) -> Floats:
    """Mean over tokens of each example of the loss on what was expected."""
    return _means(look, -look.logprob_tuned)


def _drift(look: TokenDivergenceSeen) -> Floats:
    """Mean over tokens of each example of KL(base || tuned)."""
    return _means(look, look.kl_base_tuned)


def _beyond_rounding(change: Floats) -> Floats:
    """0 where two passes over the same weights differ in the last digits: no matrix had an intruder."""
    return np.where(np.abs(change) < ROUNDING, 0.0, change)


def _means(look: TokenDivergenceSeen, values: Floats) -> Floats:
    count = np.bincount(look.example, minlength=len(look.examples))
    total = np.bincount(look.example, values, minlength=len(look.examples))
    found: Floats = np.divide(total, count, out=np.full(len(count), np.nan), where=count > 0)
    return found
