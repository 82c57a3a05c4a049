"""Predicted label probabilities against what annotators said, what noise was planted, and label shares.

People and models are both rows of probabilities over the same K labels, (n, K). Divergences are in nats.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_TINY = np.finfo(np.float64).tiny


class Divergences(NamedTuple):
    """KL(people || model) and Jensen-Shannon divergence, (n,) each."""

    kl: Floats
    jsd: Floats


def divergences(people: Floats, model: Floats) -> Divergences:
    """How far predicted probabilities are from shares of annotators. Both (..., n, K); 0 log 0 is 0.

    The Jensen-Shannon divergence lies in [0, log 2]; it is not its square root, which scipy's
    `jensenshannon` and the published ChaosNLI code give.
    Source: Nie, Zhou & Bansal 2020, ChaosNLI (KL, JSD); Uma et al. 2021, Learning from Disagreement.
    """
    middle = (people + model) / 2
    return Divergences(_kl(people, model), (_kl(people, middle) + _kl(model, middle)) / 2)


def chance_divergences(
    model: Floats, annotators: Floats, rng: np.random.Generator, draws: int = 100
) -> Divergences:
    """Mean divergences if the annotators' labels were drawn from the model's own probabilities.

    What a model that is exactly right would show, because few annotators are a coarse sample: KL is about
    (K - 1) / (2 m) for m annotators, less where probabilities are extreme. annotators: (n,) how many;
    infinite where the distribution itself is known, which makes it 0.
    """
    people = np.repeat(model[None], draws, axis=0)
    finite = np.isfinite(annotators)
    count = annotators[finite].astype(np.int64)
    shares = model[finite] / model[finite].sum(1, keepdims=True)
    people[:, finite] = rng.multinomial(count, shares, size=(draws, count.size)) / count[:, None]
    found = divergences(people, model)
    return Divergences(found.kl.mean(0), found.jsd.mean(0))


def mixture_weights(model: Floats, said: Ints, steps: int = 200) -> Floats:
    """Shares of annotators whose mixture is nearest to the predictions. They sum to 1.

    model: (n, K).  said: (n, A) the label of each annotator, -1 where one did not label.  Returns: (A,).
    Maximises the sum of p_i(y) log(sum of the weights of those who said y), by EM from equal weights; what is
    predicted for labels that nobody gave does not count. Annotators who always agree share their weight
    equally. NaN without rows.
    Source: Dempster, Laird & Rubin 1977, with known components.
    """
    spoke = said[:, :, None] == np.arange(model.shape[1])  # (n, A, K)
    weights = np.full(said.shape[1], 1 / max(1, said.shape[1]))
    if not spoke.any():
        return np.full(said.shape[1], np.nan)
    for _ in range(steps):
        shares = weights[:, None] * spoke
        credit = (model[:, None] * shares / np.maximum(shares.sum(1, keepdims=True), _TINY)).sum((0, 2))
        weights = credit / credit.sum()
    return weights


def majority(people: Floats) -> Ints:
    """The label that most annotators gave, -1 where several are equal. (n, K) -> (n,)."""
    best = people.max(1, keepdims=True)
    unique = np.isclose(people, best).sum(1) == 1
    found: Ints = np.where(unique, people.argmax(1), -1)
    return found


def noise_matrix(counts: Floats) -> Floats:
    """Share of the rows of each clean label (row) that were given each label (column); (K, K) -> (K, K).

    A label without rows is taken to be given as it is.
    """
    totals = counts.sum(1, keepdims=True)
    shares: Floats = np.where(totals > 0, counts / np.maximum(totals, 1), np.eye(len(counts)))
    return shares


def mean_prediction(probabilities: Floats, gold: Ints) -> Floats:
    """Mean predicted probabilities of the rows of each label: (n, K) -> (K, K), NaN for a label without rows.

    A model that passes on label noise shows the noise matrix here; one that learned the truth the identity.
    """
    size = probabilities.shape[1]
    sums, counts = np.zeros((size, size)), np.bincount(gold, minlength=size)
    np.add.at(sums, gold, probabilities)
    means: Floats = np.where(counts[:, None] > 0, sums / np.maximum(counts, 1)[:, None], np.nan)
    return means


def matrix_distance(a: Floats, b: Floats) -> float:
    """Mean over labels of the L1 distance of two rows, in [0, 2]; rows with NaN are left out."""
    rows = np.abs(a - b).sum(1)
    return float(np.nanmean(rows)) if np.isfinite(rows).any() else float("nan")


def doubt_inheritance(right: Floats, confidence: Floats, noisy_right: Floats) -> float:
    """Does the model doubt its answers as much as noisy labels would have it? 0: not at all, 1: fully.

    right: (n,) answer is the clean label.  confidence: (n,) its probability.  noisy_right: (n,) probability
    that the noise gives a row of that clean label this answer.
    (mean right - mean confidence) / (mean right - mean noisy_right), which needs no model from before; NaN
    where the denominator is below 0.01.
    """
    expected = float(right.mean() - noisy_right.mean())
    return float(right.mean() - confidence.mean()) / expected if expected > 0.01 else float("nan")


def centred_log(probabilities: Floats) -> Floats:
    """Logarithms minus their mean over labels: (..., K) -> (..., K); differences of two are log-odds."""
    logs = np.log(np.maximum(probabilities, _TINY))
    centred: Floats = logs - logs.mean(-1, keepdims=True)
    return centred


def prior_slope(lean: Floats, prior: Floats) -> Floats:
    """Least-squares slope, through the origin, of predicted log-probabilities on the log prior.

    lean: (n, K) centred log-probabilities.  prior: (K,) label shares in training.  Returns: (n,); with two
    labels it is the predicted log-odds over the log-odds of the shares. NaN where the shares are nearly equal
    (sum of squares below 0.02; 0.55 to 0.45).
    """
    direction = centred_log(prior)
    size = float(direction @ direction)
    slopes: Floats = lean @ direction / size if size >= 0.02 else np.full(len(lean), np.nan)
    return slopes


def _kl(p: Floats, q: Floats) -> Floats:
    ratio = np.log(np.maximum(p, _TINY)) - np.log(np.maximum(q, _TINY))
    found: Floats = np.where(p > 0, p * ratio, 0.0).sum(-1)
    return found
