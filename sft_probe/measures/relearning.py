"""How soon something lost comes back, against how soon something new is learned."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sft_probe.measures.knowledge import first_reached

Floats = NDArray[np.float64]
LEVEL = 0.5


class Savings(NamedTuple):
    """Steps until half of the items were right; NaN if they never were."""

    revive: float
    learn: float

    @property
    def ratio(self) -> float:
        """Below 1 with savings; NaN where either time is."""
        return self.revive / self.learn if self.learn > 0 else float("nan")


def savings(steps: Floats, lost: Floats, never: Floats) -> Savings:
    """Ebbinghaus's savings of two curves of the share of right items over the same steps, all (k,).

    Source: Ebbinghaus 1885, for the ratio of relearning to learning; Jain et al. 2024 (arXiv 2311.12786).
    """
    return Savings(first_reached(steps, lost, LEVEL), first_reached(steps, never, LEVEL))


def halves(clusters: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.bool_]:
    """One half of the items, by whole clusters drawn at random: (n,) true for those that are practised."""
    codes = np.unique(clusters)
    drawn = rng.permutation(codes)[: -(-codes.size // 2)]
    chosen: NDArray[np.bool_] = np.isin(clusters, drawn)
    return chosen
