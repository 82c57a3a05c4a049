"""Task vectors, tuned minus base weights, compared between models tensor by tensor."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sft_probe.measures.spectra import PIECE, Floats, Matrix

Ints = NDArray[np.int64]


def products(vectors: Sequence[Matrix], order: Ints | None = None) -> Floats:
    """Inner products of one tensor's changes in R models, in float64. Returns: (R, R).

    order: a permutation of the first axis, applied to the second factor of each product: with blocks of the
    tensor out of place two changes share nothing but their sizes.
    """
    width = max(1, vectors[0].size // max(1, len(vectors[0])))
    rows = max(1, PIECE // width)
    total = np.zeros((len(vectors), len(vectors)))
    places = np.arange(len(vectors[0])) if order is None else order
    for at in range(0, len(places), rows):
        one = np.stack([v[at : at + rows].reshape(-1) for v in vectors]).astype(np.float64)
        other = one
        if order is not None:
            moved = places[at : at + rows]
            other = np.stack([v[moved].reshape(-1) for v in vectors]).astype(np.float64)
        total += one @ other.T
    return total


def cosines(total: Floats, lengths: Floats) -> Floats:
    """Cosines from summed products and squared lengths; NaN for a vector of zeros. (R, R), (R,) -> (R, R)."""
    scale = np.sqrt(np.outer(lengths, lengths))
    found: Floats = np.divide(total, scale, out=np.full_like(total, np.nan), where=scale > 0)
    return found
