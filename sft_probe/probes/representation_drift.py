"""In which layers did the states of ordinary text move?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar, get_args

from sft_probe.observe.needs import Need, StateLikeness, StatePlace
from sft_probe.observe.observations import Observed, StateLikenessSeen
from sft_probe.probes import options
from sft_probe.probes.base import About
from sft_probe.probes.rows import Metric
from sft_probe.schema import Measurement, Measurements
from sft_probe.stats.intervals import Floats
from sft_probe.stats.resampling import FISHER, LOG, Scale, jackknife_interval

UNDEFINED = "fewer than 4 positions, or states that do not vary or are not finite"
CKA = Metric(name="cka", unit="1", null=1.0, absent=UNDEFINED)
CKA_ZSCORED = Metric(name="cka_zscored", unit="1", null=1.0, absent=UNDEFINED)
DRIFT = Metric(name="relative_drift", unit="1", null=0.0, absent=UNDEFINED)


@dataclass(frozen=True, kw_only=True)
class RepresentationDrift:
    """Likeness of states before and after, layer by layer, with and without alignment.

    dataset: ordinary text by default, so that drift is measured where nothing was to change.
    positions: sampled tokens per example. place: the residual stream, or what attention or MLP add to it.
    with_first: whether the first token may be sampled, an attention sink whose massive state hides others.
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
    place: StatePlace = "residual"
    with_first: bool = False
    limit: int | None = 150

    def __post_init__(self) -> None:
        options.name(self.name, dataset=self.dataset)
        options.at_least(self.name, 1, positions=self.positions, limit=self.limit)
        options.one_of(self.name, get_args(StatePlace), place=self.place)

    def needs(self) -> tuple[Need, ...]:
        """States against the base's at a few positions per example, the first token left out."""
        return (self._states,)

    def measure(self, seen: Observed, base: Observed) -> Measurements:
        """Three rows per layer; intervals by jackknife over up to 20 groups of whole clusters."""
        found = seen[self._states]
        module = "" if self.place == "residual" else self.place
        rows = (
            replace(row, dataset=self.dataset, layer=layer, module=module)
            for index, layer in enumerate(found.layers)
            for row in _layer_rows(found, index)
        )
        return Measurements(tuple(rows))

    @property
    def _states(self) -> StateLikeness:
        return StateLikeness(
            dataset=self.dataset,
            place=self.place,
            positions=self.positions,
            with_first=self.with_first,
            limit=self.limit,
        )


def _layer_rows(found: StateLikenessSeen, index: int) -> Iterator[Measurement]:
    for metric, statistic, scale in (
        (CKA, found.cka, FISHER),
        (CKA_ZSCORED, found.cka_zscored, FISHER),
        (DRIFT, found.drift, LOG),
    ):
        yield _row(metric, statistic[index], scale, found)


def _row(metric: Metric, statistic: Floats, scale: Scale, found: StateLikenessSeen) -> Measurement:
    interval = jackknife_interval(float(statistic[0]), statistic[1:], scale=scale)
    return metric.row(replace(interval, n=found.n, n_clusters=found.n_clusters))
