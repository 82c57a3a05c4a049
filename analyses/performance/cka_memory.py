"""Run in processes of their own by `cka`: CKA of random states of the planted model's shape."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from sft_probe.measures.moments import PairStream

LAYERS, WIDTH, BATCH = 7, 192, 512
ROOM = 2**26 // LAYERS


def batches(tokens: int) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """(layers, batch, width) states of a model and of a base, as a forward pass would hand them over."""
    rng = np.random.default_rng(0)
    for at in range(0, tokens, BATCH):
        base = rng.standard_normal((LAYERS, min(BATCH, tokens - at), WIDTH), dtype=np.float32)
        yield base + 0.1 * rng.standard_normal(base.shape, dtype=np.float32), base


def ours(tokens: int) -> dict[str, list[float]]:
    """CKA, z-scored CKA and drift of all layers with their jackknife, streamed."""
    streams = [PairStream(20, ROOM) for _ in range(LAYERS)]
    for number, (tuned, base) in enumerate(batches(tokens)):
        groups = (np.arange(tuned.shape[1]) + number) % 20
        for stream, x, y in zip(streams, tuned, base, strict=True):
            stream.add(x, y, groups)
    return {"cka": [stream.likeness().cka.value for stream in streams]}


def netrep_in_memory(tokens: int) -> dict[str, list[float]]:
    """netrep needs all states of a layer at once; one layer at a time is kept."""
    from netrep.metrics.cka import LinearCKA

    found = []
    for layer in range(LAYERS):
        pairs = [(x[layer].copy(), y[layer].copy()) for x, y in batches(tokens)]
        x, y = (np.concatenate(side) for side in zip(*pairs, strict=True))
        found.append(float(LinearCKA().score(x, y)))
    return {"angle": found}
