"""Checks of the probes that judge weights, and of grafts of them."""

from __future__ import annotations

from dataclasses import replace
from math import exp, log

import numpy as np

from sft_probe.calibration.mutants.bench import Check, Pair, Twin, altered, near
from sft_probe.measures.spectra import effective_rank, inner_products
from sft_probe.measures.subspaces import directions
from sft_probe.observe.needs import Weights
from sft_probe.observe.observations import Floats, GraftItem, GraftsSeen, WeightDelta, WeightsSeen
from sft_probe.probes.grafting import Grafting
from sft_probe.probes.intruder_dimensions import IntruderDimensions
from sft_probe.probes.weight_change import WeightChange
from sft_probe.probes.weight_spectra import WeightSpectra

RNG = np.random.default_rng(0)
SIDE = 48


def changed(*pairs: tuple[Floats, Floats]) -> Pair:
    """Matrices of one block, each with what training added to it."""
    deltas = tuple(
        WeightDelta(
            name=f"model.layers.0.mlp.{i}.weight",
            layer=1,
            module="mlp",
            base=base.astype(np.float32),
            delta=delta.astype(np.float32),
        )
        for i, (base, delta) in enumerate(pairs)
    )
    return {Weights(): WeightsSeen(iterate=lambda: iter(deltas))}, {}


def _orthogonal() -> Floats:
    return np.linalg.qr(RNG.normal(size=(SIDE, SIDE)))[0]


LEFT, RIGHT, NEW = _orthogonal(), _orthogonal(), _orthogonal()
BASE = LEFT * (10 / np.arange(1, SIDE + 1)) @ RIGHT.T  # singular values 10, 5, 3.3, ...


# --- weight_change: two matrices of different size change by a tenth of all their weights together

SMALL, LARGE = RNG.normal(size=(4, 4)), RNG.normal(size=(40, 40))
ADDED = 0.1 * np.sqrt((SMALL**2).sum() + (LARGE**2).sum()) * np.eye(4) / 2  # in the small one only

size = Check(
    probe=WeightChange(),
    says="Training adds a tenth of the norm of a block, all of it in the smaller of its two matrices.",
    looks=lambda: changed((SMALL, ADDED), (LARGE, 0 * LARGE)),
    metric="relative_norm",
    at={"layer": 1, "module": "mlp"},
    wants=near(0.1, 1e-4),
    twins=(
        Twin(
            name="norms not rooted",
            broken="Squares of norms are divided, and no root is taken.",
            parts={"probes.weight_change:sqrt": lambda value: value},
        ),
        Twin(
            name="tuned weights for the change",
            broken="The norm of the tuned weights is taken for that of what training added.",
            parts={
                "probes.weight_change:inner_products": lambda base, delta: inner_products(base, base + delta)
            },
        ),
    ),
)


# --- weight_spectra: the change has two directions, three to one

TWO = 3 * np.outer(NEW[:, 0], RIGHT[:, 0]) + np.outer(NEW[:, 1], RIGHT[:, 1])

spectrum = Check(
    probe=WeightSpectra(),
    says="The change has two singular values, 3 and 1, so the entropy is that of 3/4 and 1/4.",
    looks=lambda: changed((BASE, TWO)),
    metric="effective_rank",
    at={"layer": 1, "module": "mlp"},
    wants=near(exp(-0.75 * log(0.75) - 0.25 * log(0.25)), 1e-3),
    twins=(
        Twin(
            name="squared singular values",
            broken="The entropy is that of the energies, not of the singular values.",
            parts={"probes.weight_spectra:effective_rank": lambda values: effective_rank(values**2)},
        ),
    ),
)
ALONG = 3 * np.outer(NEW[:, 0], RIGHT[:, 0])
inputs = Check(
    probe=WeightSpectra(k=1),
    says="The change reads along the base's first input direction and writes along a new one.",
    looks=lambda: changed((BASE, ALONG)),
    metric="overlap_input",
    at={"layer": 1, "module": "mlp"},
    wants=(0.99, 1.01),
    twins=(
        Twin(
            name="input and output exchanged",
            broken="Left singular vectors are taken for right ones.",
            parts={"probes.weight_spectra:directions": lambda matrix, k=None: directions(matrix.T, k)},
        ),
    ),
)


# --- intruder_dimensions: one strong new direction, written along nothing the base knows

SPIKE = 50 * np.outer(LEFT @ np.ones(SIDE) / SIDE**0.5, RIGHT[:, 0])  # alike to all of the base's directions

intruder = Check(
    probe=IntruderDimensions(),
    says="One direction is added that is new in what it writes, and reads along a known one.",
    looks=lambda: changed((BASE, SPIKE)),
    metric="intruders",
    at={"layer": 1, "module": "mlp"},
    wants=near(1.0),
    twins=(
        Twin(
            name="input directions for output",
            broken="Right singular vectors are compared, along which nothing new was planted.",
            parts={"probes.intruder_dimensions:directions": lambda matrix, k=None: directions(matrix.T, k)},
        ),
    ),
)


# --- grafting: one block alone brings 0.7 of 1 nat, and without it 0.9 are lost

GRAFT = Grafting()
ITEMS = tuple(GraftItem(dataset="test", item=f"i{i}", cluster=f"c{i}") for i in range(12))


def _grafted() -> Pair:
    n = len(ITEMS)
    jitter = np.linspace(-0.01, 0.01, n)
    both = np.array([[0.7], [0.1]]) + jitter
    look = GraftsSeen(
        items=ITEMS,
        base=np.zeros(n),
        tuned=np.ones(n) + jitter,
        blocks=((1, "attention"), (1, "mlp")),
        changed=np.array([True, True]),
        sufficient=both,
        necessary=np.array([[0.1], [0.7]]) + jitter,
        random_sufficient=np.zeros((2, n)),
        random_necessary=np.ones((2, n)) + jitter,
        path=((1, "attention"),),
        together=both[:1],
        held_back=np.arange(n) >= n // 2,
    )
    return {GRAFT.needs()[0]: look}, {}


def _ways_exchanged(look: GraftsSeen) -> GraftsSeen:
    return replace(look, sufficient=look.necessary, necessary=look.sufficient)


def _blocks_off_by_one(look: GraftsSeen) -> GraftsSeen:
    return replace(look, sufficient=np.roll(look.sufficient, 1, axis=0))


grafts = Check(
    probe=GRAFT,
    says="The attention of layer 1 alone brings 0.7 of the gain of 1 nat; without it 0.1 of it is left.",
    looks=_grafted,
    metric="graft_sufficiency",
    at={"dataset": "test", "layer": 1, "module": "attention"},
    wants=near(0.7, 1e-3),
    twins=(
        Twin(
            name="in and out exchanged",
            broken="Scores of the base with a tuned block are taken for those of the model without it.",
            sees=altered(GraftsSeen, _ways_exchanged),
        ),
        Twin(
            name="blocks off by one",
            broken="What one block does is written down for the next.",
            sees=altered(GraftsSeen, _blocks_off_by_one),
        ),
    ),
)

CHECKS = (size, spectrum, inputs, intruder, grafts)
