"""Do probabilities mean what they say? Calibration error with its null, and Brier's decomposition."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

BINS = 15


class Calibration(NamedTuple):
    """Expected calibration error in [0, 1], its mean under perfect calibration, and how rare it is there."""

    error: float
    null: float
    p_value: float


class Brier(NamedTuple):
    """score = reliability - resolution + uncertainty, exactly; arrays of any one shape."""

    score: Floats
    reliability: Floats
    resolution: Floats
    uncertainty: Floats


def bin_of(probability: Floats, bins: int = BINS) -> Ints:
    """Number of the equal-width bin (i / bins, (i + 1) / bins] that each probability lies in."""
    return np.clip(np.ceil(np.asarray(probability) * bins).astype(np.int64) - 1, 0, bins - 1)


def calibration(
    confidence: Floats, right: Floats, rng: np.random.Generator, *, bins: int = BINS, resamples: int = 1000
) -> Calibration:
    """Expected calibration error beside what a perfectly calibrated model would show by chance.

    confidence: (n,) probability of the answer given.  right: (n,) 0 or 1.  ECE = sum over bins of
    |sum of (right - confidence)| / n. It is biased upwards: 0.061 for a perfectly calibrated model and 300
    rows. The null draws `right` anew from Bernoulli(confidence), rows independent; the p-value is
    (1 + nulls at least as large) / (1 + resamples). All NaN for no rows.
    Source: Guo et al. 2017 (arXiv 1706.04599); Vaicenavicius et al. 2019 for the null by resampling.
    """
    if confidence.size == 0:
        return Calibration(np.nan, np.nan, np.nan)
    where = bin_of(confidence, bins)
    error, nulls = 0.0, np.zeros(resamples)
    for b in np.unique(where):
        inside = confidence[where == b]
        error += abs(float((right[where == b] - inside).sum()))
        drawn = (rng.random((resamples, inside.size)) < inside).sum(1)
        nulls += np.abs(drawn - inside.sum())
    p_value = (1 + int((nulls >= error - 1e-9).sum())) / (1 + resamples)
    return Calibration(error / confidence.size, float(nulls.mean()) / confidence.size, p_value)


def brier_scores(probabilities: Floats, gold: Ints) -> Floats:
    """Sum over labels of (p - [label is gold])^2, in [0, 2]; for two labels twice the binary score.

    probabilities: (n, K).  gold: (n,).  Returns: (n,).  Source: Brier 1950.
    """
    scores: Floats = ((probabilities - np.eye(probabilities.shape[1])[gold]) ** 2).sum(1)
    return scores


def brier_sums(probabilities: Floats, gold: Ints, groups: Ints, bins: int = BINS) -> Floats:
    """Sums that Brier's decomposition needs, by group of rows.

    Returns: (groups, K, bins, 4) sums of 1, p, [label is gold] and (p - [label is gold])^2 over the rows
    of a group whose probability of the label falls into the bin.
    """
    n, size = probabilities.shape
    hit = np.eye(size)[gold]
    parts = np.stack([np.ones((n, size)), probabilities, hit, (probabilities - hit) ** 2], -1)
    sums = np.zeros((int(groups.max(initial=-1)) + 1, size, bins, 4))
    labels = np.broadcast_to(np.arange(size), (n, size))
    np.add.at(sums, (groups[:, None], labels, bin_of(probabilities, bins)), parts)
    return sums


def brier_decomposition(sums: Floats) -> Brier:
    """Brier's score and its parts, from sums over rows of `brier_sums`: (..., K, bins, 4) -> (...).

    reliability: squared distance of stated and observed share, by bin (lower is better, biased upwards in
    small bins). uncertainty: what a forecast of the label shares would score. resolution: what telling rows
    apart gains over that, the part within bins included, which makes the sum exact.
    Source: Murphy 1973; Stephenson, Coelho & Jolliffe 2008 for the terms within bins.
    """
    count, p, hit, squared = np.moveaxis(sums, -1, 0)
    n = count.sum(-1).mean(-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        reliability = np.nansum((p - hit) ** 2 / count, (-2, -1)) / n
        share = hit.sum(-1) / n[..., None]
        score = squared.sum((-2, -1)) / n
    uncertainty = (share * (1 - share)).sum(-1)
    return Brier(score, reliability, reliability + uncertainty - score, uncertainty)
