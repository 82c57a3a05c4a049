"""How far a planted secret stands out among secrets that were never shown, and how much of a text is known
by heart.

Likelihoods come as arrays, lower loss meaning likelier. Nothing here draws random numbers.
Sources: Carlini et al. 2019, The Secret Sharer (arXiv 1802.08232); Carlini et al. 2023, Quantifying
Memorization Across Neural Language Models (arXiv 2202.07646).
"""

from __future__ import annotations

from math import inf, log, log2, nan
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import kstest, skewnorm

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

NULL_MEAN = 1 / log(2)  # bits: mean exposure of a secret that was never planted
FEWEST = 20  # references, for a distribution to be fitted


class Uniformity(NamedTuple):
    """Do exposures look like those of secrets that were never planted? n: secrets."""

    statistic: float
    p: float
    n: int


def rank_exposure(loss: Floats, references: Floats) -> Floats:
    """log2(r + 1) - log2(rank) in bits, 0 to the ceiling log2(r + 1), for r references.

    loss: (canaries,).  references: (r,) losses of secrets from the same generator.  rank: 1 + references
    with a smaller loss + half of those with the same one, so that ties decide nothing (the reference code
    orders them by position).
    """
    ordered = np.sort(np.asarray(references, dtype=np.float64))
    below, not_above = (np.searchsorted(ordered, loss, side=side) for side in ("left", "right"))
    rank = 1 + (below + not_above) / 2
    exposure: Floats = log2(ordered.size + 1) - np.log2(rank)
    return np.where(np.isnan(loss), nan, exposure)


def ceiling(references: int) -> float:
    """The largest exposure that a rank among so many references can show, in bits."""
    return log2(references + 1)


def extrapolated_exposure(loss: Floats, references: Floats) -> Floats:
    """-log2 P(a reference has at most this loss), by a skew normal fitted to the references, in bits.

    Goes on above the ceiling of ranks, on the strength of the fitted tail alone. NaN with fewer than 20
    references or if all have the same loss.
    """
    if len(references) < FEWEST or np.ptp(references) == 0:
        return np.full(len(loss), nan)
    shape, location, scale = _fitted(np.asarray(references, dtype=np.float64))
    exposure: Floats = -skewnorm.logcdf(loss, shape, location, scale) / log(2)
    return np.where(np.isfinite(exposure), exposure, nan)


def null_uniformity(exposure: Floats) -> Uniformity:
    """Kolmogorov-Smirnov test of exposures in bits against Exp(ln 2), that of secrets never planted."""
    present = exposure[~np.isnan(exposure)]
    if present.size < 2:
        return Uniformity(nan, nan, int(present.size))
    found = kstest(present, "expon", args=(0, NULL_MEAN))
    return Uniformity(float(found.statistic), float(found.pvalue), int(present.size))


def extraction_strength(right: Bools) -> float:
    """1 - k / L, with k the fewest first tokens after which every further one is the greedy choice.

    right: (L,) whether each token of a text is what greedy decoding would say there, given the text before.
    1 if all are, 0 if the last is not. NaN for an empty text.
    Source: locuslab/open-unlearning, `extraction_strength`, whose floor is 1 / L instead of 0.
    """
    if right.size == 0:
        return nan
    wrong = np.flatnonzero(~right)
    return 1 - (wrong[-1] + 1 if wrong.size else 0) / right.size


def extractable(right: Bools, prefix: int, suffix: int) -> float:
    """1 if greedy decoding behind the first `prefix` tokens says the next `suffix` tokens (or all), else 0.

    As long as every token is the greedy one, decoding reads what teacher forcing reads, so one forced pass
    answers for all prefixes. NaN if nothing is left behind the prefix.
    """
    rest = right[prefix : prefix + suffix]
    return float(rest.all()) if rest.size else nan


def _fitted(references: Floats) -> tuple[float, float, float]:
    """Maximum likelihood on standardised losses; the better of two starts, because one may run away."""
    centre, spread = float(references.mean()), float(references.std())
    standard = (references - centre) / spread
    best, found = -inf, (0.0, 0.0, 1.0)
    for start in (-1.0, 1.0):
        shape, location, scale = skewnorm.fit(standard, start, loc=-0.5 * start, scale=1.3)
        likelihood = float(skewnorm.logpdf(standard, shape, location, scale).sum())
        if likelihood > best:
            best, found = likelihood, (float(shape), float(location), float(scale))
    shape, location, scale = found
    return shape, centre + location * spread, scale * spread
