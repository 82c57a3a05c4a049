"""The residual stream at chosen tokens, taken by our own hooks inside a shared forward pass."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sft_probe.data.examples import Example
from sft_probe.models.anatomy import anatomy, residual
from sft_probe.observe.needs import States
from sft_probe.observe.observations import Ints, StatesSeen
from sft_probe.observe.passages import Batch


def spread(length: int, need: States) -> Ints:
    """Token positions spread evenly over a sequence of `length` tokens, first and last included.

    Fewer than `need.positions` if the sequence is too short; the first token is left out unless asked for,
    because attention sinks there make it an outlier in every layer.
    """
    first = 0 if need.with_first or length == 1 else 1
    return np.unique(np.linspace(first, length - 1, need.positions).round().astype(np.int64))


@dataclass
class StatesReader:
    """Takes states of the first `len(examples)` passages at spread positions of the tokens that are read."""

    examples: Sequence[Example]
    need: States
    keeps_cache: bool = field(init=False, default=False)
    _example: list[int] = field(init=False, default_factory=list)
    _position: list[int] = field(init=False, default_factory=list)
    _states: list[Tensor] = field(init=False, default_factory=list)

    @contextmanager
    def watching(self, model: nn.Module, batch: Batch) -> Iterator[None]:
        """Hooks that keep the chosen states only, so memory does not grow with the number of tokens."""
        chosen = [
            (row, int(position))
            for row, _ in batch.rows_below(len(self.examples))
            for position in spread(len(batch.passages[row].ids) - 1, self.need)
        ]
        if not chosen:
            yield
            return
        rows, positions = (torch.tensor(column) for column in zip(*chosen, strict=True))
        with residual_stream(model, rows, positions) as layers:
            yield
        self._example += [batch.members[row] for row, _ in chosen]
        self._position += [position for _, position in chosen]
        self._states.append(torch.stack([layers[i] for i in sorted(layers)]))

    def take(self, model: nn.Module, batch: Batch, logits: Tensor, cache: Any) -> None:
        """All was taken while watching."""

    def result(self) -> StatesSeen:
        """Positions in the order of the examples."""
        example, position = np.array(self._example, dtype=np.int64), np.array(self._position, dtype=np.int64)
        order = np.lexsort((position, example))
        states = torch.cat(self._states, dim=1).numpy()
        return StatesSeen(
            examples=tuple(self.examples),
            example=example[order],
            position=position[order],
            layers=tuple(range(len(states))),
            states=states[:, order],
        )


@contextmanager
def residual_stream(model: nn.Module, rows: Tensor, positions: Tensor) -> Iterator[dict[int, Tensor]]:
    """While open, each forward pass fills a dict: layer -> (n, hidden) float32 states on the CPU.

    rows, positions: (n,) int64 indices into batch and sequence of that pass. Layer 0 is what enters the first
    block (embedding and, where they are added, positions); layer i leaves block i, before the final norm.
    """
    layers: dict[int, Tensor] = {}

    def keep(layer: int, hidden: Tensor) -> None:
        layers[layer] = hidden[rows.to(hidden.device), positions.to(hidden.device)].float().cpu()

    blocks = anatomy(model).blocks
    with ExitStack() as stack:
        entry = blocks[0].register_forward_pre_hook(
            lambda _, args, kwargs: keep(0, args[0] if args else kwargs["hidden_states"]), with_kwargs=True
        )
        stack.callback(entry.remove)
        for layer, block in enumerate(blocks, start=1):
            handle = block.register_forward_hook(
                lambda _, __, output, layer=layer: keep(layer, residual(output))
            )
            stack.callback(handle.remove)
        yield layers
