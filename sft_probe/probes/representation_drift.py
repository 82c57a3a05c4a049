"""In which layers did the states of ordinary text move?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from sft_probe.measures.geometry import LeftOut, cka_without_groups, drift_without_groups, zscore
from sft_probe.observe.needs import Need, States
from sft_probe.observe.observations import Observed
from sft_probe.probes import options
from sft_probe.probes.base import About
from sft_probe.probes.rows import Metric, clusters_of
from sft_probe.schema import Measurement, Measurements
from sft_probe.stats.intervals import Floats, Ints
from sft_probe.stats.resampling import FISHER, LOG, Scale, balanced_groups, jackknife_interval

UNDEFINED = "fewer than 4 positions, or states that do not vary or are not finite"
CKA = Metric(name="cka", unit="1", null=1.0, absent=UNDEFINED)
CKA_ZSCORED = Metric(name="cka_zscored", unit="1", null=1.0, absent=UNDEFINED)
DRIFT = Metric(name="relative_drift", unit="1", null=0.0, absent=UNDEFINED)


@dataclass(frozen=True, kw_only=True)
class RepresentationDrift:
    """Likeness of the residual stream before and after, layer by layer, with and without alignment.

    dataset: ordinary text by default, so that drift is measured where nothing was to change.
    positions: sampled tokens per example.
    """

    name: ClassVar[str] = "representation_drift"
    about: ClassVar[About] = About(
        question="In which layers did the states of ordinary text move?",
        axis="where",
        source="Kornblith et al. 2019, Similarity of Neural Network Representations Revisited; unbiased HSIC "
        "of Song et al. 2007",
        null="CKA 1 and drift 0: exactly so for the base itself",
        blind_spots="CKA follows the directions of highest variance and can miss small changes that matter; "
        "a massive dimension hides all others (compare cka_zscored). Moved states need not change behaviour.",
        cost="forward",
    )

    dataset: str = "test"
    positions: int = 4
    limit: int | None = 150

    def __post_init__(self) -> None:
        options.name(self.name, dataset=self.dataset)
        options.at_least(self.name, 1, positions=self.positions, limit=self.limit)

    def needs(self) -> tuple[Need, ...]:
        """Residual states at a few positions per example, the first token left out."""
        return (self._states,)

    def measure(self, seen: Observed, base: Observed) -> Measurements:
        """Three rows per layer; intervals by jackknife over up to 20 groups of whole clusters."""
        after, before = seen[self._states], base[self._states]
        clusters = clusters_of(after.examples)[after.example]
        rows = (
            replace(row, dataset=self.dataset, layer=layer)
            for layer, tuned, untouched in zip(after.layers, after.states, before.states, strict=True)
            for row in _layer_rows(tuned.astype(np.float64), untouched.astype(np.float64), clusters)
        )
        return Measurements(tuple(rows))

    @property
    def _states(self) -> States:
        return States(dataset=self.dataset, positions=self.positions, limit=self.limit)


def _layer_rows(tuned: Floats, base: Floats, clusters: Ints) -> Iterator[Measurement]:
    groups = balanced_groups(clusters)
    yield _row(CKA, cka_without_groups(tuned, base, groups), FISHER, clusters)
    yield _row(CKA_ZSCORED, cka_without_groups(zscore(tuned), zscore(base), groups), FISHER, clusters)
    yield _row(DRIFT, drift_without_groups(tuned, base, groups), LOG, clusters)


def _row(metric: Metric, found: LeftOut, scale: Scale, clusters: Ints) -> Measurement:
    interval = jackknife_interval(found.value, found.without, scale=scale)
    return metric.row(replace(interval, n=clusters.size, n_clusters=np.unique(clusters).size))
