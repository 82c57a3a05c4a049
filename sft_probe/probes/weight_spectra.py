"""Over how many directions does a matrix change, and along which of the base's?"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import ceil
from typing import ClassVar

import numpy as np

from sft_probe.measures.spectra import (
    Floats,
    effective_rank,
    energy_of_noise,
    energy_of_noise_in,
    energy_rank,
    numerical_rank,
    participation_ratio,
    singular_values,
    singular_values_of_product,
)
from sft_probe.measures.subspaces import Directions, directions, directions_of_product, overlap
from sft_probe.observe.needs import Need, Weights
from sft_probe.observe.observations import Observed, WeightDelta
from sft_probe.probes import options
from sft_probe.probes.base import About
from sft_probe.probes.rows import Metric
from sft_probe.schema import Measurement, Measurements
from sft_probe.stats.intervals import Interval

ALL = "all"
UNCHANGED = "no matrix of this block changed, or one is not finite"
RANK = Metric(name="rank", unit="1", absent=UNCHANGED)
EFFECTIVE = Metric(name="effective_rank", unit="1", absent=UNCHANGED)
PARTICIPATION = Metric(name="participation_ratio", unit="1", absent=UNCHANGED)
R90 = Metric(name="r90", unit="1", absent=UNCHANGED)
SPECTRAL = Metric(name="spectral_ratio", unit="1", absent=UNCHANGED)
OUTPUT = Metric(name="overlap_output", unit="1", absent=UNCHANGED)
INPUT = Metric(name="overlap_input", unit="1", absent=UNCHANGED)
ENERGY = Metric(name="energy_in_top", unit="1", absent=UNCHANGED)
LADDER = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)

Found = Mapping[Metric, tuple[float, float]]  # value of one matrix, and its null


@dataclass(frozen=True, kw_only=True)
class WeightSpectra:
    """Singular values and leading directions of what training added to each matrix.

    k: how many leading directions of change and base are compared.
    """

    name: ClassVar[str] = "weight_spectra"
    about: ClassVar[About] = About(
        question="Over how many directions does a matrix change, and along which of the base's?",
        axis="where",
        source="effective rank of Roy & Vetterli 2007; subspace overlap of Hu et al. 2021 (arXiv "
        "2106.09685); spectra of full fine-tuning in Biderman et al. 2024 (arXiv 2405.09673)",
        null="r90 of independent Gaussian noise of the same shape (Marchenko & Pastur 1967), overlap k/d of "
        "random spaces",
        blind_spots="The noise of an optimiser is not Gaussian: compare with the difference of two seeds. A "
        "direction that carries little energy can carry the skill. Weights are no sample: no interval.",
        cost="weights only",
        headline=("r90", "effective_rank"),
    )

    k: int = 8

    def __post_init__(self) -> None:
        options.at_least(self.name, 1, k=self.k)

    def needs(self) -> tuple[Need, ...]:
        """Base weights and what was added to them."""
        return (Weights(),)

    def measure(self, seen: Observed, base: Observed) -> Measurements:
        """Means over the changed matrices of a layer and kind, of a layer, and of the whole model."""
        blocks: defaultdict[tuple[int, str], list[Found]] = defaultdict(list)
        ladder: list[Mapping[int, tuple[float, float]]] = []
        for delta in seen[Weights()].iterate():
            if delta.delta.ndim != 2:
                continue
            for place in ((delta.layer, delta.module), (delta.layer, ALL), (-1, ALL)):
                blocks[place] += []
            if np.isfinite(delta.delta).all() and delta.delta.any():
                values = _values(delta)
                found = self._of(delta, values)
                ladder.append(_ladder(values, delta))
                for place in ((delta.layer, delta.module), (delta.layer, ALL), (-1, ALL)):
                    blocks[place].append(found)
        rows = [row for place in sorted(blocks) for row in _rows(*place, blocks[place])]
        return Measurements((*rows, *_energy_rows(ladder)))

    def _of(self, delta: WeightDelta, values: Floats) -> Found:
        shape, k = delta.delta.shape, min(self.k, *delta.delta.shape)
        before = directions(delta.base, k)
        top = before.values[0] if before.values.size else 0.0
        rank = numerical_rank(values, shape, max(top, values[0]))
        change = _directions(delta, max(1, min(k, rank)))  # beyond its rank a change is rounding
        noise = min(energy_of_noise(*shape), ceil(0.9 * _largest_rank(delta)))
        return {
            RANK: (rank, 0.0),
            EFFECTIVE: (effective_rank(values), np.nan),
            PARTICIPATION: (participation_ratio(values), np.nan),
            R90: (energy_rank(values), float(noise)),
            SPECTRAL: (values[0] / top if top > 0 else np.nan, 0.0),
            OUTPUT: (overlap(change.left, before.left), k / shape[0]),
            INPUT: (overlap(change.right, before.right), k / shape[1]),
        }


def _values(delta: WeightDelta) -> Floats:
    return singular_values_of_product(*delta.factors) if delta.factors else singular_values(delta.delta)


def _directions(delta: WeightDelta, k: int) -> Directions:
    if not delta.factors:
        return directions(delta.delta, k)
    found = directions_of_product(*delta.factors)
    return Directions(found.left[:, :k], found.values[:k], found.right[:, :k])


def _largest_rank(delta: WeightDelta) -> int:
    return int(delta.factors[0].shape[1] if delta.factors else min(delta.delta.shape))


def _ladder(values: Floats, delta: WeightDelta) -> Mapping[int, tuple[float, float]]:
    """Share of the energy in the k largest singular values, and what noise has there, for a ladder of k."""
    energy, (rows, columns) = np.cumsum(values**2) / (values**2).sum(), delta.delta.shape
    return {
        k: (float(energy[min(k, energy.size) - 1]), energy_of_noise_in(rows, columns, k))
        for k in LADDER
        if k <= min(rows, columns)
    }


def _rows(layer: int, module: str, found: list[Found]) -> Iterator[Measurement]:
    for metric in (RANK, EFFECTIVE, PARTICIPATION, R90, SPECTRAL, OUTPUT, INPUT):
        value, null = _means([one[metric] for one in found])
        yield _row(metric, value, null, len(found), layer, module)


def _energy_rows(ladder: list[Mapping[int, tuple[float, float]]]) -> Iterator[Measurement]:
    for k in sorted({k for one in ladder for k in one}):
        own = [one[k] for one in ladder if k in one]
        yield _row(ENERGY, *_means(own), len(own), -1, f"top {k}")


def _means(pairs: list[tuple[float, float]]) -> tuple[float, float]:
    if not pairs:
        return np.nan, np.nan
    value, null = np.array(pairs).mean(axis=0)
    return float(value), float(null)


def _row(metric: Metric, value: float, null: float, n: int, layer: int, module: str) -> Measurement:
    own = Metric(name=metric.name, unit=metric.unit, null=null, absent=metric.absent)
    return own.row(Interval(value=value, n=n), layer=layer, module=module)
