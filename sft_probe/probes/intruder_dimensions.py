"""Does a tuned matrix have leading directions that its base does not know?"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar
from zlib import crc32

import numpy as np

from sft_probe.measures.intruders import Dimensions, dimensions, gaussian_like, rotated_like
from sft_probe.measures.spectra import (
    Floats,
    Matrix,
    numerical_rank,
    singular_values,
    singular_values_of_product,
)
from sft_probe.measures.subspaces import Directions, directions
from sft_probe.observe.needs import Need, Weights
from sft_probe.observe.observations import Observed, WeightDelta
from sft_probe.probes import options
from sft_probe.probes.base import About
from sft_probe.probes.rows import Metric
from sft_probe.schema import NAN, Measurement, Measurements
from sft_probe.stats.intervals import Interval

ALL = "all"
ABSENT = "the block has no matrix, or one is not finite"
COUNT = Metric(name="intruders", unit="1", absent=ABSENT)
COUNT_GAUSSIAN = Metric(name="intruders_gaussian", unit="1", absent=ABSENT)
COUNT_ROTATED = Metric(name="intruders_rotated", unit="1", absent=ABSENT)
SCORE = Metric(name="intruder_score", unit="1", absent=ABSENT)
SCORE_GAUSSIAN = Metric(name="intruder_score_gaussian", unit="1", absent=ABSENT)
SCORE_ROTATED = Metric(name="intruder_score_rotated", unit="1", absent=ABSENT)
RESIDUAL = Metric(name="intruder_residual", unit="1", absent=ABSENT)
COUNTS = (COUNT, COUNT_GAUSSIAN, COUNT_ROTATED)
SCORES = (SCORE, SCORE_GAUSSIAN, SCORE_ROTATED)
TOKENS = ("embedding", "unembedding")  # their directions are those of the vocabulary


UNCHANGED = np.zeros(8)
UNKNOWN = np.full(8, NAN)


@dataclass(frozen=True, kw_only=True)
class IntruderDimensions:
    """Leading left singular vectors of the tuned matrices of the blocks against all those of the base.

    epsilon: a vector is an intruder if its cosine with every vector of the base is below this. k: how many
    leading vectors of each matrix are judged.
    """

    name: ClassVar[str] = "intruder_dimensions"
    about: ClassVar[About] = About(
        question="Does a tuned matrix have leading directions that its base does not know?",
        axis="where",
        source="Shuttleworth et al. 2024, LoRA vs Full Fine-tuning (arXiv 2410.21228), definition 3.1",
        null="a random change of the same size: with the same singular values and random directions, and of "
        "Gaussian entries; 0 for the base itself",
        blind_spots="On a flat base spectrum mere noise makes intruders, and a planted direction whose value "
        "lies near one of the base's mixes with it and is missed: read the score beside the count, and both "
        "against their nulls. An intruder need not cost anything: see intruder_shrinkage.",
        cost="weights only",
        headline=("intruders", "intruder_score"),
    )

    epsilon: float = 0.5
    k: int = 10

    def __post_init__(self) -> None:
        options.share(self.name, epsilon=self.epsilon)
        options.at_least(self.name, 1, k=self.k)

    def needs(self) -> tuple[Need, ...]:
        """Base weights and what was added to them."""
        return (Weights(),)

    def measure(self, seen: Observed, base: Observed) -> Measurements:
        """Counts are summed and scores averaged over the matrices of a layer and kind, of a layer, of all."""
        blocks: defaultdict[tuple[int, str], list[Floats]] = defaultdict(list)
        for delta in seen[Weights()].iterate():
            if delta.delta.ndim == 2 and delta.module not in TOKENS:
                found = self._of(delta)
                for place in ((delta.layer, delta.module), (delta.layer, ALL), (-1, ALL)):
                    blocks[place].append(found)
        return Measurements(tuple(row for place in sorted(blocks) for row in _rows(*place, blocks[place])))

    def _of(self, delta: WeightDelta) -> Floats:
        """Counts, scores (each as tuned, with a Gaussian and with a rotated change), residual, the base's."""
        if not (np.isfinite(delta.delta).all() and np.isfinite(delta.base).all() and delta.base.any()):
            return UNKNOWN
        if not delta.delta.any():
            return UNCHANGED
        rng = np.random.default_rng(crc32(delta.name.encode()))
        before = directions(delta.base)
        values = _values(delta, float(before.values[0]))
        norm, shape = float(np.sqrt((values**2).sum())), delta.base.shape
        changes = (delta.delta, gaussian_like(norm, shape, rng), rotated_like(values, shape, rng))
        found = [self._compared(before, delta.base + change) for change in changes]
        start = dimensions(before, Directions(*(part[..., : self.k] for part in before)))
        counts, scores = [one.intruders(self.epsilon) for one in found], [one.score for one in found]
        return np.array([*counts, *scores, found[0].residual, start.residual])

    def _compared(self, before: Directions, matrix: Matrix) -> Dimensions:
        return dimensions(before, directions(matrix, min(self.k, *matrix.shape)))


def _values(delta: WeightDelta, largest: float) -> Floats:
    """Singular values of the change that are above rounding. largest: of the base."""
    found = singular_values_of_product(*delta.factors) if delta.factors else singular_values(delta.delta)
    return found[: max(1, numerical_rank(found, delta.base.shape, max(largest, found[0])))]


def _rows(layer: int, module: str, found: list[Floats]) -> Iterator[Measurement]:
    """Counts against the random change that has more of them, scores against the larger one."""
    numbers = np.array(found)
    total, mean = numbers.sum(axis=0), numbers.mean(axis=0)
    counts, scores = total[:3], mean[3:6]
    for kinds, values in ((COUNTS, counts), (SCORES, scores)):
        null = float(values[1:].max())
        for metric, value in zip(kinds, values, strict=True):
            own = replace(metric, null=null) if metric is kinds[0] else metric
            yield own.row(Interval(value=float(value), n=len(found)), layer=layer, module=module)
    residual = replace(RESIDUAL, null=float(mean[7]))
    yield residual.row(Interval(value=float(mean[6]), n=len(found)), layer=layer, module=module)
