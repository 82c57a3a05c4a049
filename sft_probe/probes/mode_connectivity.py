"""Is there a barrier of loss on the straight line from the base to the tuned model?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from sft_probe.measures.connectivity import barrier, excess
from sft_probe.observe.interventions import Interpolate
from sft_probe.observe.needs import Need, Scores
from sft_probe.observe.observations import Floats, Observed
from sft_probe.probes import options
from sft_probe.probes.base import About
from sft_probe.probes.rows import Metric, clusters_of
from sft_probe.schema import Measurement, Measurements
from sft_probe.stats.intervals import Ints
from sft_probe.stats.resampling import balanced_groups, jackknife_interval

BARRIER = Metric(name="barrier", unit="nats/token", better="lower", null=0.0)
LOSS = Metric(name="loss_on_line", unit="nats/token", better="lower")
EXCESS = Metric(name="excess_on_line", unit="nats/token", better="lower", null=0.0)


@dataclass(frozen=True, kw_only=True)
class ModeConnectivity:
    """Loss of the weights (1 - alpha) base + alpha tuned.

    points: how many alphas, evenly from 0 to 1. datasets: where the loss is measured. limit: rows of each.
    """

    name: ClassVar[str] = "mode_connectivity"
    about: ClassVar[About] = About(
        question="Does the loss rise on the straight line from the base to the tuned model?",
        axis="where",
        source="Frankle et al. 2020, Linear Mode Connectivity and the Lottery Ticket Hypothesis "
        "(arXiv 1912.05671)",
        null="barrier 0: the loss on the line is nowhere above the straight line between both ends",
        blind_spots="A straight line only; models can be joined by a curve where the line has a barrier. The "
        "highest of several points leans upwards by chance.",
        cost="forward",
        headline=("barrier",),
    )

    points: int = 11
    datasets: tuple[str, ...] = ("test",)
    limit: int = 60

    def __post_init__(self) -> None:
        options.names(self.name, datasets=self.datasets)
        options.at_least(self.name, 3, points=self.points)
        options.at_least(self.name, 1, limit=self.limit)

    def needs(self) -> tuple[Need, ...]:
        """Likelihoods of the expected answers at every point between the two models."""
        return tuple(self._look(name, alpha) for name in self.datasets for alpha in self.alphas[1:])

    def measure(self, seen: Observed, base: Observed) -> Measurements:
        """The barrier, and loss and excess at every point (`module`), for every data set."""
        return Measurements(tuple(row for name in self.datasets for row in self._rows(name, seen, base)))

    @property
    def alphas(self) -> tuple[float, ...]:
        """Where on the line is looked: 0 is the base, 1 the tuned model."""
        return tuple(round(float(alpha), 9) for alpha in np.linspace(0, 1, self.points))

    def _rows(self, name: str, seen: Observed, base: Observed) -> Iterator[Measurement]:
        looks = [base[self._look(name, 1.0)], *(seen[self._look(name, a)] for a in self.alphas[1:])]
        losses = np.array([-look.target_logprob / np.maximum(1, look.target_tokens) for look in looks])
        alphas, clusters = np.array(self.alphas), clusters_of(looks[0].examples)
        yield replace(_barrier(losses, alphas, clusters), dataset=name)
        for metric, values in ((LOSS, losses), (EXCESS, excess(losses, alphas))):
            for alpha, own in zip(self.alphas, values, strict=True):
                interval = metric.interval(own, clusters)
                yield metric.row(interval, dataset=name, module=f"alpha {alpha:g}")

    def _look(self, name: str, alpha: float) -> Scores:
        return Scores(dataset=name, limit=self.limit, under=(Interpolate(alpha),) if alpha < 1 else ())


def _barrier(losses: Floats, alphas: Floats, clusters: Ints) -> Measurement:
    groups = balanced_groups(clusters)
    several = np.unique(groups).size > 1
    left_out = [barrier(losses[:, groups != g], alphas) for g in np.unique(groups)] if several else []
    interval = jackknife_interval(barrier(losses, alphas), np.array(left_out))
    count = np.unique(clusters).size
    return BARRIER.row(replace(interval, n=losses.shape[1], n_clusters=count))
