"""Rebuild cka.json: debiased linear CKA by sums over quadruples of rows, slow and independent of the package.

HSIC_u is the average over ordered quadruples (i, j, q, r) of different rows of
A_ij B_ij + A_ij B_qr - 2 A_ij B_iq with A = XX', B = YY' (Song et al. 2007). The case with 100 rows is
the one of the demo notebook of google-research/representation_similarity, which prints 0.51346.

Run: python tests/golden/make_cka.py
"""

import json
from itertools import permutations
from pathlib import Path

import numpy as np


def hsic(a: np.ndarray, b: np.ndarray) -> float:
    terms = [a[i, j] * (b[i, j] + b[q, r] - 2 * b[i, q]) for i, j, q, r in permutations(range(len(a)), 4)]
    return float(np.mean(terms))


def cka(x: np.ndarray, y: np.ndarray) -> float:
    a, b = x @ x.T, y @ y.T
    return hsic(a, b) / np.sqrt(hsic(a, a) * hsic(b, b))


def small_case(rows: int, width_x: int, width_y: int, seed: int) -> dict[str, object]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, width_x))
    y = x @ rng.normal(size=(width_x, width_y)) + rng.normal(size=(rows, width_y)) + 3
    return {"x": x.tolist(), "y": y.tolist(), "cka": cka(x, y)}


if __name__ == "__main__":
    golden = {
        "google_demo": {"seed": 1337, "rows": 100, "width": 10, "cka": 0.51346},
        "small": [small_case(12, 3, 4, 0), small_case(9, 15, 11, 1), small_case(4, 2, 2, 2)],
    }
    Path(__file__).with_name("cka.json").write_text(json.dumps(golden, indent=1) + "\n")
