"""What the optimiser's own numbers say of training: signal in its gradients, and where its moments lie."""

from __future__ import annotations

from math import ceil
from typing import NamedTuple

import numpy as np

from sft_probe.measures.spectra import Floats


class Moments(NamedTuple):
    """Adam's running means at some entries of one tensor, as stored (not corrected for their start at 0).

    first, second: (n,) of the gradient and of its square. step: updates made so far, 1 or more.
    """

    first: Floats
    second: Floats
    betas: tuple[float, float]
    step: int


class Power(NamedTuple):
    """Sums of squares over entries: of the mean gradient, and of the noise of one step's gradient."""

    signal: float
    noise: float


def gradient_power(moments: Moments) -> Power | None:
    """Split the gradient's second moment into signal and noise, None at the first step, which has one draw.

    With m and v corrected for bias, and c the sum of squared weights in m, E m^2 = signal + c noise and
    E v = signal + noise, if gradients of the last 1 / (1 - beta1) steps are draws around one mean and the
    second moment has not changed over 1 / (1 - beta2) steps. Unbiased, so `signal` may be below 0.
    Source: the moments of Kingma & Ba 2015 (arXiv 1412.6980), section 3; signal-to-noise as in McCandlish
    et al. 2018 (arXiv 1812.06162), whose simple noise scale is its inverse times the batch size.
    """
    beta1, beta2 = moments.betas
    started1, started2 = 1 - beta1**moments.step, 1 - beta2**moments.step
    c = (1 - beta1) * (1 + beta1**moments.step) / ((1 + beta1) * started1)
    if moments.step < 2 or c > 1 - 1e-9:
        return None
    m2 = float(((moments.first / started1) ** 2).sum())
    v = float((moments.second / started2).sum())
    return Power((m2 - c * v) / (1 - c), (v - m2) / (1 - c))


def top_share(values: Floats, share: float = 0.01) -> float:
    """Part of a sum that its largest entries hold: `share` if all are equal, 1 if one holds everything.

    values: (n,), not below 0; ceil(share n) entries are taken.  NaN if all are 0.
    """
    total = float(values.sum())
    if not total > 0:
        return float("nan")
    count = ceil(share * values.size)
    return float(np.partition(values, values.size - count)[values.size - count :].sum()) / total
