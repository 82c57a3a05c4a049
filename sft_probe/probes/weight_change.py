"""Which weights changed, how much, and over how many directions?"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import inf, sqrt
from typing import ClassVar

from sft_probe.measures.spectra import inner_products, stable_rank, stable_rank_of_product
from sft_probe.observe.needs import Need, Weights
from sft_probe.observe.observations import Observed, WeightDelta
from sft_probe.probes.base import About
from sft_probe.probes.rows import Metric
from sft_probe.schema import NAN, Measurement, Measurements
from sft_probe.stats.intervals import Interval

ALL = "all"
NORM = Metric(
    name="relative_norm", unit="1", null=0.0, absent="the base is all zero, or a weight is not finite"
)
COSINE = Metric(name="weight_cosine", unit="1", null=1.0, absent=NORM.absent)
RANK = Metric(name="stable_rank", unit="1", absent="no matrix of this block changed")


@dataclass(slots=True)
class _Block:
    """Sums over the weights of one layer and kind: squares of changes and of the base, and their product."""

    changed: float = 0.0
    base: float = 0.0
    both: float = 0.0
    tensors: int = 0
    ranks: list[float] = field(default_factory=list)

    def add(self, other: _Block) -> None:
        self.changed += other.changed
        self.base += other.base
        self.both += other.both
        self.tensors += other.tensors
        self.ranks += other.ranks


@dataclass(frozen=True, kw_only=True)
class WeightChange:
    """Relative size, angle and stable rank of what training added, per layer and kind of module."""

    name: ClassVar[str] = "weight_change"
    about: ClassVar[About] = About(
        question="Which weights changed, how much, and over how many directions?",
        axis="where",
        source="Frobenius norms; stable rank of Rudelson & Vershynin 2007, Sampling from Large Matrices",
        null="relative norm 0: exactly so for the base itself",
        blind_spots="A large change may do nothing and a small one a lot; norms of LoRA and full fine-tuning "
        "are not alike in kind. Weights are no sample, so there is no interval: compare training seeds.",
        cost="weights only",
    )

    def needs(self) -> tuple[Need, ...]:
        """Base weights and what was added to them."""
        return (Weights(),)

    def measure(self, seen: Observed, base: Observed) -> Measurements:
        """Three rows per layer and kind of module, per layer over all kinds, and over the whole model."""
        blocks: defaultdict[tuple[int, str], _Block] = defaultdict(_Block)
        for delta in seen[Weights()].iterate():
            block = _block_of(delta)
            for place in ((delta.layer, delta.module), (delta.layer, ALL), (-1, ALL)):
                blocks[place].add(block)
        return Measurements(tuple(row for place in sorted(blocks) for row in _rows(*place, blocks[place])))


def _block_of(delta: WeightDelta) -> _Block:
    base, both, changed = inner_products(delta.base, delta.delta)
    ranks = [_rank(delta)] if 0 < changed < inf and delta.delta.ndim == 2 else []
    return _Block(changed, base, both, 1, ranks)


def _rank(delta: WeightDelta) -> float:
    return stable_rank_of_product(*delta.factors) if delta.factors else stable_rank(delta.delta)


def _rows(layer: int, module: str, block: _Block) -> Iterator[Measurement]:
    known = block.base > 0 and block.changed < inf
    norm = sqrt(block.changed / block.base) if known else NAN
    rank = sum(block.ranks) / len(block.ranks) if block.ranks else NAN
    yield NORM.row(Interval(value=norm, n=block.tensors), layer=layer, module=module)
    cosine = _cosine(block) if known else NAN
    yield COSINE.row(Interval(value=cosine, n=block.tensors), layer=layer, module=module)
    yield RANK.row(Interval(value=rank, n=len(block.ranks)), layer=layer, module=module)


def _cosine(block: _Block) -> float:
    """Between the weights before and after, all of a block as one vector; NaN if nothing is left."""
    if block.changed == 0:
        return 1.0
    after = block.base + 2 * block.both + block.changed
    return (block.base + block.both) / sqrt(block.base * after) if after > 0 else NAN
