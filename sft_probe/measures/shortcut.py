"""How much a word in a prompt says about the label, and how much it says to a model.

Counts come as arrays of words by labels, model outputs as log-probabilities of labels. The yardstick is what
an optimal reader of the training rows would make of the word if it were independent of the rest of the text
given the label: with agreement rho, 2 log(rho / (1 - rho)) between the words of two labels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

CERTAIN = 2.0  # standard errors that a yardstick must be from zero for a ratio to it to mean something


@dataclass(frozen=True, slots=True, kw_only=True)
class Association:
    """What W words say about each of K labels against all others, in nats.

    present: (W, K) log P(word | label) / P(word | other labels).  absent: the same for rows without the word.
    variance: (W, K) of present.  z: (W, K) difference of the shares of rows that have the word, over its
    standard error if there were none; for ranking: it does not punish a word that never meets other labels.
    """

    present: Floats
    absent: Floats
    variance: Floats
    z: Floats

    @property
    def inserted(self) -> Floats:
        """(W, K) log odds ratio: what putting the word in should do to the log odds of the label."""
        return self.present - self.absent


def association(counts: Ints, totals: Ints) -> Association:
    """counts: (W, K) rows of each label that have the word.  totals: (K,) rows of each label, none 0, K > 1.

    Half a row is added to each cell of the two-by-two tables, so that no ratio is infinite.
    Source: Haldane 1956; Anscombe 1956.
    """
    others, elsewhere = totals.sum() - totals, counts.sum(1, keepdims=True) - counts
    pooled = counts.sum(1, keepdims=True) / totals.sum()
    null_error = np.sqrt(pooled * (1 - pooled) * (1 / totals + 1 / others))
    gap = counts / totals - elsewhere / others
    return Association(
        present=_log_ratio(counts, totals, elsewhere, others),
        absent=_log_ratio(totals - counts, totals, others - elsewhere, others),
        variance=1 / (counts + 0.5) + 1 / (elsewhere + 0.5),
        z=np.divide(gap, null_error, out=np.zeros_like(gap), where=null_error > 0),
    )


def log_odds(logprob: Floats) -> Floats:
    """Log odds of each label against all others, in nats. (..., K) log-probabilities -> (..., K).

    They need not sum to one. NaN with a single label, whose odds are not defined.
    """
    labels = logprob.shape[-1]
    if labels < 2:
        return np.full(logprob.shape, np.nan)
    others = [logsumexp(np.delete(logprob, k, axis=-1), axis=-1) for k in range(labels)]
    odds: Floats = logprob - np.stack(others, axis=-1)
    return odds


def shifted_choice(logprob: Floats, label: Ints, shift: Floats) -> Ints:
    """The label that would win if evidence moved the log odds of one label.

    logprob: (n, K).  label, shift: (n,) which label, and by how many nats.  Returns (n,).
    """
    moved = logprob.copy()
    moved[np.arange(len(label)), label] += shift
    winner: Ints = moved.argmax(-1)
    return winner


def _log_ratio(some: Ints, of: Ints, others: Ints, of_others: Ints) -> Floats:
    ratio: Floats = np.log((some + 0.5) / (of + 1)) - np.log((others + 0.5) / (of_others + 1))
    return ratio
