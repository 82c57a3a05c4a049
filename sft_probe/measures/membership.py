"""Telling training rows from others by how well the model knows them. Higher scores mean "more likely seen".

Sources: Shi et al. 2023, Detecting Pretraining Data from Large Language Models (arXiv 2310.16789), for
Min-K%; Carlini et al. 2022, Membership Inference Attacks From First Principles (arXiv 2112.03570), for the
true-positive rate at a low false-positive rate; Hanley & McNeil 1982 for the area under the curve.
"""

from __future__ import annotations

from math import ceil, nan, sqrt

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def min_k(logprob: Floats, share: float = 0.2) -> float:
    """Mean of the lowest `share` of a text's token log-probabilities, of at least one token; in nats.

    NaN for an empty text. (The authors' code returns NaN for every text of fewer than 1 / share tokens.)
    """
    if logprob.size == 0:
        return nan
    count = max(1, int(logprob.size * share))
    return float(np.sort(logprob)[:count].mean())


def placements(members: Floats, others: Floats) -> tuple[Floats, Floats]:
    """Share of others below each member, and of members above each other; equals count half.

    members: (m,), others: (n,) scores.  Returns (m,), (n,); the mean of either is the AUC.
    Source: DeLong, DeLong & Clarke-Pearson 1988.
    """
    return _share_below(members, others), 1 - _share_below(others, members)


def auc_null_se(members: int, others: int) -> float:
    """Standard error of the AUC of scores that know nothing: 0.041 for 100 and 100."""
    return sqrt((members + others + 1) / (12 * members * others)) if members and others else nan


def caught(members: Floats, others: Floats, rate: float = 0.01) -> Floats:
    """For each member 1 if its score is above a threshold that at most `rate` of the others pass, else 0.

    All NaN with fewer than 1 / rate others, which cannot set such a threshold.
    """
    if others.size < ceil(1 / rate):
        return np.full(members.size, nan)
    allowed = int(others.size * rate)
    threshold = np.sort(others)[others.size - 1 - allowed]
    above: Floats = np.where(members > threshold, 1.0, 0.0)
    return above


def _share_below(scores: Floats, among: Floats) -> Floats:
    ordered = np.sort(among)
    below, not_above = (np.searchsorted(ordered, scores, side=side) for side in ("left", "right"))
    share: Floats = (below + not_above) / (2 * max(ordered.size, 1))
    return share
