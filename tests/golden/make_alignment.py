"""Rebuild alignment.json: Procrustes, CCA, RSA and anisotropy by other people's code, or slowly by
definition.

The angle is that of netrep's LinearMetric(alpha=1), the mean of the canonical correlations that of
google/svcca (commit 1f3fbf1; their `pwcca.py` is not used, see below). PWCCA, RSA and anisotropy follow their
papers' formulas step by step, with an inverse square root of each covariance and loops over pairs.
google/svcca builds the variates of PWCCA without the inverse square root and adds means back before
weighting.

Run: python tests/golden/make_alignment.py FOLDER_OF_CCA_CORE
"""

import json
import sys
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr


def root(covariance: np.ndarray) -> np.ndarray:
    values, vectors = np.linalg.eigh(covariance)
    return vectors @ np.diag(values**-0.5) @ vectors.T


def pwcca(x: np.ndarray, y: np.ndarray) -> float:
    x, y = x - x.mean(0), y - y.mean(0)
    white_x = x @ root(x.T @ x)
    u, rho, _ = np.linalg.svd(white_x.T @ (y @ root(y.T @ y)), full_matrices=False)
    variates = white_x @ u
    alpha = [sum(abs(h @ neuron) for neuron in x.T) for h in variates.T]
    return float(np.dot(alpha, rho) / np.sum(alpha))


def dissimilarities(x: np.ndarray) -> list[float]:
    return [1 - np.corrcoef(x[i], x[j])[0, 1] for i in range(len(x)) for j in range(i)]


def anisotropy(x: np.ndarray) -> float:
    cosines = [
        a @ b / np.linalg.norm(a) / np.linalg.norm(b)
        for i, a in enumerate(x)
        for j, b in enumerate(x)
        if i != j
    ]
    return float(np.mean(cosines))


def case(rows: int, width_x: int, width_y: int, seed: int) -> dict[str, object]:
    from cca_core import get_cca_similarity
    from netrep.metrics import LinearMetric

    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, width_x)) + 1
    y = x @ rng.normal(size=(width_x, width_y)) + 2 * rng.normal(size=(rows, width_y)) + 3
    correlations = get_cca_similarity(x.T, y.T, epsilon=0.0, verbose=False)["cca_coef1"]
    return {
        "x": x.tolist(),
        "y": y.tolist(),
        "angle": float(LinearMetric(alpha=1.0, score_method="angular").fit_score(x, y)),
        "cca": float(np.mean(correlations[: min(width_x, width_y)])),
        "pwcca": pwcca(x, y),
        "rsa": float(spearmanr(dissimilarities(x), dissimilarities(y)).statistic),
        "anisotropy": anisotropy(x),
    }


if __name__ == "__main__":
    sys.path.insert(0, sys.argv[1])
    cases = [case(30, 5, 5, 0), case(24, 4, 7, 1), case(40, 6, 3, 2)]
    Path(__file__).with_name("alignment.json").write_text(json.dumps(cases) + "\n")
