"""Linear readouts of labels from states: held-out scores by closed-form ridge, and an online code.

Everything is done on Gram matrices of rows, so that it costs O(n^3) however wide the states are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize_scalar

from sft_probe.measures.geometry import Floats, Ints

PENALTIES = np.logspace(-4, 3, 15)  # times the mean eigenvalue of the Gram matrix
BLOCKS = (0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.0625, 0.125, 0.25, 0.5, 1.0)
"""Ends of the blocks of the online code, as shares of the rows (Voita & Titov 2020)."""
SHARPEST = 200.0  # largest factor on scores before the softmax


class Scores(NamedTuple):
    """Held-out scores (n, K) of each row: in its own states, and in other states of the same rows."""

    own: Floats
    transferred: Floats


@dataclass(frozen=True)
class Readout:
    """A ridge regression onto label indicators, chosen by generalised cross-validation.

    mean, scale: of the training states. weights: (p, K). offset: (K,). loo: (n, K) scores of each
    training row by the regression without it.
    """

    mean: Floats
    scale: Floats
    weights: Floats
    offset: Floats
    loo: Floats

    @staticmethod
    def fit(x: Floats, targets: Floats) -> Readout:
        """x: (n, p) states, z-scored here.  targets: (n, K) indicators."""
        mean, scale = x.mean(axis=0), x.std(axis=0)
        scale = np.where(scale > 0, scale, np.inf) * np.sqrt(x.shape[1])
        z, offset = (x - mean) / scale, targets.mean(axis=0)
        wanted = targets - offset
        values, vectors = np.linalg.eigh(z @ z.T)
        values, along = values.clip(0), vectors.T @ wanted
        shrink = _best(values, along, len(x))
        fitted, hat = vectors @ (shrink[:, None] * along), vectors**2 @ shrink + 1 / len(x)
        penalty = _penalty_of(values, shrink)
        dual = vectors @ (along / (values + penalty)[:, None])
        loo = targets - (wanted - fitted) / np.maximum(1 - hat, 1e-6)[:, None]
        return Readout(mean, scale, z.T @ dual, offset, loo)

    def scores(self, x: Floats) -> Floats:
        """(n, p) states -> (n, K) scores; the largest one is the label read."""
        found: Floats = (x - self.mean) / self.scale @ self.weights + self.offset
        return found


def held_out_scores(x: Floats, labels: Ints, folds: Ints, other: Floats | None = None) -> Scores:
    """Scores of every row by a readout of the rows outside its fold.

    x: (n, p).  labels: (n,) 0..K-1.  folds: (n,) ids.  other: states of the same rows in another model, read
    by the same readouts; x itself if not given.
    """
    targets = indicators(labels)
    other = x if other is None else other
    own, transferred = np.empty(targets.shape), np.empty(targets.shape)
    for fold in np.unique(folds):
        inside = folds == fold
        readout = Readout.fit(x[~inside], targets[~inside])
        own[inside], transferred[inside] = readout.scores(x[inside]), readout.scores(other[inside])
    return Scores(own, transferred)


def indicators(labels: Ints) -> Floats:
    """(n,) labels 0..K-1 -> (n, K) with 1 at the label."""
    found: Floats = np.eye(int(labels.max()) + 1)[labels]
    return found


def control_labels(labels: Ints, types: Ints, rng: np.random.Generator) -> Ints:
    """A random label per type with the marginal of the labels: what a readout can only learn by heart.

    labels, types: (n,).  Source: Hewitt & Liang 2019, Designing and Interpreting Probes with Control Tasks.
    """
    _, first, codes = np.unique(types, return_index=True, return_inverse=True)
    found: Ints = rng.permutation(labels[first])[codes]
    return found


def online_code(x: Floats, labels: Ints, n_labels: int) -> Floats:
    """Bits that each label costs when it is told after those before it, block by block. (n,)

    Rows of the first block, at least as many as there are labels, are told uniformly (log2 K bits each); each
    further block by the readout of all t rows before it, its scores made probabilities by a softmax whose
    sharpness suits their leave-one-out scores, mixed with 1 / (t + 1) of the uniform distribution so that
    no label costs more than log2 K (t + 1). Any rule that looks back only is a code; theirs is an MLP.
    Source: Voita & Titov 2020, Information-Theoretic Probing with Minimum Description Length.
    """
    targets, bits = np.eye(n_labels)[labels], np.full(len(x), np.log2(n_labels))
    for start, end in _blocks(len(x), n_labels):
        readout = Readout.fit(x[:start], targets[:start])
        sharpness = _sharpness(readout.loo, labels[:start])
        p = _softmax(sharpness * readout.scores(x[start:end]), start)
        bits[start:end] = -np.log2(p[np.arange(end - start), labels[start:end]])
    return bits


def _blocks(n: int, n_labels: int) -> Iterator[tuple[int, int]]:
    least = max(4, 2 * n_labels)
    ends = [end for share in BLOCKS if (end := round(share * n)) >= least]
    yield from pairwise(ends)


def _best(values: Floats, along: Floats, n: int) -> Floats:
    """Shrinkage of each eigenvector under the penalty with the least generalised cross-validation error.

    The mean that was taken off costs one degree of freedom.
    """
    candidates = [values / (values + penalty) for penalty in PENALTIES * max(values.mean(), 1e-300)]

    def error(shrink: Floats) -> float:
        left = (((1 - shrink)[:, None] * along) ** 2).sum()
        return float(left / max(1 - (shrink.sum() + 1) / n, 1e-6) ** 2)

    return min(candidates, key=error)


def _penalty_of(values: Floats, shrink: Floats) -> float:
    largest = int(values.argmax())
    return float(values[largest] / shrink[largest] - values[largest]) if shrink[largest] > 0 else 1.0


def _sharpness(scores: Floats, labels: Ints) -> float:
    rows = np.arange(len(labels))

    def cost(log_factor: float) -> float:
        return float(-np.log(_softmax(np.exp(log_factor) * scores, len(rows))[rows, labels]).sum())

    found = minimize_scalar(cost, bounds=(np.log(1e-3), np.log(SHARPEST)), method="bounded")
    return float(np.exp(found.x))


def _softmax(scores: Floats, seen: int) -> Floats:
    """Softmax of each row, mixed with the uniform distribution as one row among those seen."""
    p = np.exp(scores - scores.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    mixed: Floats = (seen * p + 1 / p.shape[1]) / (seen + 1)
    return mixed


def folds_of(clusters: Ints, count: int = 5) -> Ints:
    """Whole clusters dealt in turn into `count` folds. (n,) -> (n,)."""
    _, codes = np.unique(clusters, return_inverse=True)
    found: Ints = codes % count
    return found


def is_right(scores: Floats, labels: Ints) -> Floats:
    """1 where the largest score is that of the label. (n, K), (n,) -> (n,)."""
    right: Floats = (scores.argmax(axis=1) == labels).astype(np.float64)
    return right
