"""A name for exact weights, so that two models can be told apart without comparing files."""

from __future__ import annotations

import hashlib

import torch
from torch import nn


def weights_digest(model: nn.Module) -> str:
    """sha256 over name, dtype, shape and bytes of every tensor of the state dict, in the order of the names.

    A tied weight is hashed under each of its names. Device, mode and gradients do not enter.
    """
    sha = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        sha.update(f"{name}|{tensor.dtype}|{tuple(tensor.shape)}|".encode())
        sha.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return sha.hexdigest()
