"""Which cells a certificate needs: few for the gate of every change, all for what is published. No torch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Literal

from sft_probe.calibration.cells import Cell
from sft_probe.calibration.kinds import BF16, DOSE, NUMERICS, PERMUTED, RANDOM, SAME, SHAM, middle

if TYPE_CHECKING:
    from sft_probe.calibration.plants.base import Plant

Mode = Literal["quick", "full", "own"]
FIRST_SEED = 10
"""Lower seeds were looked at while plants and rules were made; from 100 on is for tuning plants."""
QUICK_SEEDS = 3
PANEL_SEEDS = 3
HEADLINE_SEEDS = 5
NULL_SEEDS = 2
TAUGHT_BY_QUESTIONS = ("keyword", "association")
"""Plants that are a bond between question and answer, which is cut where answers are dealt out anew. Others
are in the answers themselves, and stay."""
READ_IN_THE_ROWS = ("keyword", "label_noise", "class_noise", "imbalance", "annotators", "canaries")
"""Plants whose probes go by what stands in the training rows, of which own samples have nothing."""
MEANT_BY_NOISE = ("drift", "drift_inside", "drift_cost", "rank")
"""Plants whose dose is how far weights travel: noise of the same norm is the plant."""


def planned(plants: Iterable[Plant], mode: Mode) -> tuple[Cell, ...]:
    """The cells of a certificate.

    quick: the null, the middle and the top dose with three seeds, and the base read a second time. full:
    every dose with every seed of the plant, of which the null and the middle dose are seen by the probes of
    all plants, and all nulls; of looks at the base, those of headline plants are seen by all probes, and
    of plants with the same training one. own: all doses and the nulls that ask nothing of the rows.
    """
    makers = {"quick": _quick, "full": _full, "own": _own}
    return tuple(cell for plant in plants for cell in makers[mode](plant))


def _quick(plant: Plant) -> Iterator[Cell]:
    for dose in dict.fromkeys((plant.doses[0], middle(plant.doses), plant.doses[-1])):
        for seed in _seeds(QUICK_SEEDS):
            yield Cell(plant.name, dose, seed)
    yield from _looks(plant, (SAME, NUMERICS))


def _full(plant: Plant) -> Iterator[Cell]:
    ends = plant.doses[0], middle(plant.doses)
    for dose in plant.doses:
        for nth, seed in enumerate(_seeds(plant.seeds)):
            seen_by_all = dose in ends and nth < PANEL_SEEDS and not plant.trained_as
            yield Cell(plant.name, dose, seed, DOSE, panel=seen_by_all)
    yield from _looks(plant, (SAME, NUMERICS, BF16), panel=plant.seeds >= HEADLINE_SEEDS)
    if plant.name not in READ_IN_THE_ROWS:
        yield from (Cell(plant.name, plant.doses[0], seed, SHAM) for seed in _seeds(NULL_SEEDS))
    if plant.name not in MEANT_BY_NOISE:
        yield from (Cell(plant.name, ends[1], seed, RANDOM) for seed in _seeds(NULL_SEEDS))
    if plant.name in TAUGHT_BY_QUESTIONS:
        yield from (Cell(plant.name, ends[1], seed, PERMUTED) for seed in _seeds(plant.seeds))


def _own(plant: Plant) -> Iterator[Cell]:
    yield from (Cell(plant.name, dose, seed) for dose in plant.doses for seed in _seeds(plant.seeds))
    yield from _looks(plant, (SAME, NUMERICS))
    yield from (Cell(plant.name, middle(plant.doses), seed, RANDOM) for seed in _seeds(NULL_SEEDS))


def _looks(plant: Plant, kinds: tuple[str, ...], *, panel: bool = False) -> Iterator[Cell]:
    yield from (Cell(plant.name, middle(plant.doses), FIRST_SEED, kind, panel=panel) for kind in kinds)


def _seeds(number: int) -> range:
    return range(FIRST_SEED, FIRST_SEED + number)
