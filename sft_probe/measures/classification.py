"""Counts of gold and predicted labels, and what follows from them. K labels, numbered from 0."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class PriorEstimate(NamedTuple):
    """Label shares (K,) estimated from predictions alone, and the condition number of the confusion."""

    shares: Floats
    condition: float


def confusion(gold: Ints, predicted: Ints, size: int) -> Floats:
    """How often each gold label (row) was predicted as each label (column): (size, size) counts.

    A prediction of -1 is no label at all: it counts for its row only, in an extra last column, so the
    result is (size, size + 1).
    """
    counts = np.zeros((size, size + 1))
    np.add.at(counts, (gold, predicted), 1)
    return counts


def recalls(counts: Floats) -> Floats:
    """Share of each label's rows that were predicted right; NaN for labels without rows.

    counts: (..., K, K + 1).  Returns: (..., K).
    """
    with np.errstate(invalid="ignore"):
        shares: Floats = _hits(counts) / counts.sum(-1)
    return shares


def balanced_accuracy(counts: Floats) -> Floats:
    """Mean recall over the labels that have rows. counts: (..., K, K + 1) -> (...).

    1 / K for a model that always says the same, whatever the label shares.
    Source: Brodersen et al. 2010; scikit-learn's `balanced_accuracy_score`.
    """
    with np.errstate(invalid="ignore"):
        mean: Floats = np.nansum(recalls(counts), -1) / (counts.sum(-1) > 0).sum(-1)
    return mean


def macro_f1(counts: Floats) -> Floats:
    """Mean over labels of 2 TP / (2 TP + FP + FN), labels that neither occur nor are predicted left out.

    counts: (..., K, K + 1) -> (...).  Source: scikit-learn's `f1_score(average="macro")`.
    """
    size = counts.shape[-2]
    involved = counts.sum(-1) + counts[..., :size].sum(-2)
    with np.errstate(invalid="ignore"):
        mean: Floats = np.nansum(2 * _hits(counts) / involved, -1) / (involved > 0).sum(-1)
    return mean


def shifted_shares(joint: Floats, predicted: Floats) -> PriorEstimate:
    """Label shares of unlabelled rows by black box shift estimation (BBSE).

    joint: (K, K) share of source rows with gold label j (column) predicted as i (row); sums to 1.
    predicted: (K,) share of each prediction among the unlabelled rows. Solves joint w = predicted for the
    weights w and returns w times the gold shares of the source. Valid where p(row | label) is the same in
    both; unstable where the condition number is large (NaN shares where the matrix cannot be inverted).
    Source: Lipton, Wang & Smola 2018, Detecting and Correcting for Label Shift with Black Box Predictors.
    """
    condition = float(np.linalg.cond(joint))
    if not np.isfinite(condition) or condition > 1e12:
        return PriorEstimate(np.full(len(joint), np.nan), float("inf"))
    return PriorEstimate(np.linalg.solve(joint, predicted) * joint.sum(0), condition)


def _hits(counts: Floats) -> Floats:
    return np.diagonal(counts, axis1=-2, axis2=-1)  # the extra column lies beyond the diagonal
