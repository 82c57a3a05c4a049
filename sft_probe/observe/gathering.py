"""Models whose weights lie in shards on several devices (FSDP 2): whole while they are looked at."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn


@contextmanager
def gathered(model: nn.Module) -> Iterator[None]:
    """Every process holds all weights inside; they are sharded again afterwards. Other models are left alone.

    All processes must enter. Inside, no forward pass waits for another process. Takes the memory of the
    whole model on each device.
    """
    parts = _sharded(model)
    if parts:  # before a look calls modules below the root, which would take themselves for roots
        parts[0]._get_fsdp_state()._lazy_init()
    before = [_reshards(part) for part in parts]
    for part in parts:
        part.unshard()
        part.set_reshard_after_forward(False, recurse=False)
    try:
        yield
    finally:
        for part, reshards in zip(parts, before, strict=True):
            part.reshard()
            part.set_reshard_after_forward(reshards, recurse=False)


def whole(values: Tensor) -> Tensor:
    """A tensor that may lie in shards, as one. All processes must ask for it."""
    gather = getattr(values, "full_tensor", None)
    return values if gather is None else gather()


def _sharded(model: nn.Module) -> list[Any]:
    from torch import distributed

    if not distributed.is_available():
        return []
    from torch.distributed.fsdp import FSDPModule

    return [module for module in model.modules() if isinstance(module, FSDPModule)]


def _reshards(part: Any) -> bool:
    """Whether a part is sharded again after its forward pass, for which torch 2.13 has no public reader."""
    return any(group._reshard_after_forward for group in part._get_fsdp_state()._fsdp_param_groups)
