"""Shrinking one singular direction of every weight matrix of the blocks, to see what it was there for."""

from __future__ import annotations

from contextlib import AbstractContextManager

import torch
from torch import Tensor, nn

from sft_probe.measures.intruders import leading_intruder, neighbour
from sft_probe.measures.subspaces import directions
from sft_probe.models.anatomy import anatomy
from sft_probe.observe.interventions.values import ShrinkIntruders
from sft_probe.observe.interventions.weights import Site, exchanged


def shrunk(model: nn.Module, base: nn.Module, change: ShrinkIntruders) -> AbstractContextManager[None]:
    """W + (factor - 1) sigma u v' in every matrix of a block that has an intruder, in float32."""
    last = len(anatomy(base).blocks)

    def without(site: Site) -> Tensor:
        own = site.dense
        if own.ndim != 2 or not 1 <= site.place.layer <= last or torch.equal(own, site.base):
            return own
        matrix, before = (weight.detach().float().cpu().numpy() for weight in (own, site.base))
        known, tuned = directions(before), directions(matrix, change.k)
        index = leading_intruder(known, tuned, change.epsilon)
        if index is not None and change.instead:
            index = neighbour(known, tuned, change.epsilon, index)
        if index is None:
            return own
        scaled = (change.factor - 1) * tuned.values[index] * tuned.left[:, index]
        step = torch.from_numpy(scaled[:, None] * tuned.right[None, :, index]).to(own.device)
        return (own.double() + step).to(own.dtype)

    return exchanged(model, base, without)
