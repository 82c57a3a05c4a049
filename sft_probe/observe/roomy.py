"""A key-value cache that leaves room behind its last token.

transformers' own joins all earlier keys and values with the new ones at every token, which for a small model
takes as long as the rest of the step.
"""

from __future__ import annotations

from typing import Any, cast

from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

ROOM = 64  # tokens


class RoomyLayer(DynamicLayer):  # type: ignore[no-untyped-call]  # of transformers
    """`keys` and `values` are the filled beginnings of larger tensors; new tokens are written behind them.

    Whoever replaces them, as `reorder_cache` does, makes the next token move to larger tensors again.
    """

    _held: tuple[Tensor, Tensor] | None = None

    def update(self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        """All keys and values, the new ones last: (batch, heads, seq, head_dim)."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        start = self.get_seq_length()
        end = start + key_states.shape[-2]
        before: Any = (self.keys, self.values)
        held = self._held
        if held is None or before[0]._base is not held[0] or end > held[0].shape[-2]:
            held = _with_room(before[0], key_states, end), _with_room(before[1], value_states, end)
            self._held = held
        held[0][:, :, start:end], held[1][:, :, start:end] = key_states, value_states
        keys, values = held[0][:, :, :end], held[1][:, :, :end]
        self.keys, self.values = keys, values
        return keys, values


def roomy_cache(config: Any) -> DynamicCache:
    """An empty cache for a model. Layers that do not keep all keys and values stay as they are."""
    cache, make = DynamicCache(config=config), cast("Any", RoomyLayer)
    cache.layers = [make() if type(layer) is DynamicLayer else layer for layer in cache.layers]
    return cache


def _with_room(filled: Tensor, new: Tensor, end: int) -> Tensor:
    batch, heads, _, size = new.shape
    held = new.new_empty(batch, heads, end + ROOM, size)
    if filled.numel():
        held[:, :, : filled.shape[-2]] = filled
    return held
