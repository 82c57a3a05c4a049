"""Where attention goes: patterns are rows of weights over the tokens read so far, each summing to 1."""

from __future__ import annotations

import torch
from torch import Tensor


def pattern_entropy(pattern: Tensor) -> Tensor:
    """Entropy in nats: 0 for one token, log(k) spread evenly over k. (..., keys) -> (...)."""
    summed: Tensor = torch.special.entr(pattern.float()).sum(-1)
    return summed


def pattern_distance(p: Tensor, q: Tensor) -> Tensor:
    """Total variation: the share of attention that lies elsewhere, from 0 to 1. (..., keys) -> (...)."""
    return (p.float() - q.float()).abs().sum(-1) / 2


def mass_on(pattern: Tensor, segments: Tensor) -> Tensor:
    """Attention by kind of token.  pattern: (..., keys).  segments: (kinds, keys), 0 or 1 -> (..., kinds)."""
    return pattern.float() @ segments.float().T
