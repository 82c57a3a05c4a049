"""Choosing among given answers by their log-likelihoods, the way lm-eval does."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Scoring = Literal["sum", "per_token", "per_byte"]


def choice_scores(
    logprob: Floats, tokens: NDArray[np.int64], choices: tuple[str, ...], by: Scoring
) -> Floats:
    """Scores by which choices compete, in nats, nats per token or nats per UTF-8 byte.

    logprob, tokens: (choices,) summed log-likelihood and length of each choice.  "sum" is lm-eval's `acc`
    and "per_byte" its `acc_bytes`; normalising favours long answers less harshly, and changes accuracy.
    """
    if by == "sum":
        return logprob
    lengths = tokens if by == "per_token" else [len(choice.encode()) for choice in choices]
    return logprob / np.maximum(lengths, 1)


def is_chosen(scores: Floats, right: int) -> bool:
    """The right choice has the best score; among equals the first wins, as in lm-eval (numpy's argmax)."""
    return int(np.argmax(scores)) == right


def margin(scores: Floats, right: int) -> float:
    """Score of the right choice minus the best wrong one; NaN if there is no wrong one."""
    wrong = np.delete(scores, right)
    return float(scores[right] - wrong.max()) if wrong.size else float("nan")
