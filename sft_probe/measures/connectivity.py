"""How far the loss rises on the straight line between two models."""

from __future__ import annotations

import numpy as np

from sft_probe.measures.spectra import Floats


def excess(losses: Floats, alphas: Floats) -> Floats:
    """Loss on the line minus what a straight line between both ends would have.

    losses: (points, n) of n examples, alphas: (points,) from 0 to 1, both ends included.
    Returns: (points, n), 0 at both ends.
    Source: Frankle et al. 2020 (arXiv 1912.05671).
    """
    return np.asarray(losses - np.outer(1 - alphas, losses[0]) - np.outer(alphas, losses[-1]))


def barrier(losses: Floats, alphas: Floats) -> float:
    """The highest mean excess on the line, 0 if there is none: 0 where both models lie in one basin.

    The maximum over points leans upwards by chance, as any maximum does.
    """
    return max(0.0, float(excess(losses, alphas).mean(axis=1).max()))
