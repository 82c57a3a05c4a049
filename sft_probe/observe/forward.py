"""The forward pass: without labels, without output_hidden_states, with logits only where they are read.

Labels would let a trainer's patched forward return no logits; `output_hidden_states` leaves hooks on the
blocks for good (transformers 5).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from sft_probe.errors import ModelError
from sft_probe.models.anatomy import without_adapter
from sft_probe.observe.passages import Batch, Budget


class Branch(NamedTuple):
    """Tokens read behind the first `shared` tokens of a passage, in place of what follows there.

    parent: row of the passage in its batch. ids: at least one token.
    """

    parent: int
    shared: int
    ids: tuple[int, ...]


def read(model: nn.Module, batch: Batch, *, keep_cache: bool = False) -> tuple[Tensor, Any]:
    """Read a batch. Returns: (k, vocab) logits of the predicted tokens, and the key-value cache if kept.

    Raises: ModelError if the model gives no logits.
    """
    device, columns = device_of(model), batch.columns
    options: dict[str, Any] = {"use_cache": keep_cache} if "use_cache" in arguments(model) else {}
    sliced = "logits_to_keep" in arguments(model)
    if sliced:
        options["logits_to_keep"] = torch.arange(columns.start, columns.stop, device=device)
    output = model(input_ids=batch.input_ids.to(device), **options)
    logits = _logits(output)
    kept = logits if sliced else logits[:, columns.start : columns.stop]
    return batch.pick(kept), output.past_key_values if keep_cache else None


def read_branches(
    model: nn.Module, cache: Any, branches: Sequence[Branch], budget: Budget
) -> Iterator[tuple[list[int], Tensor]]:
    """Read branches behind what is already in a cache, so that a shared prompt is read once.

    Yields: indices of some branches, and (their number, longest, vocab) logits at every token of theirs.
    """
    vocab = vocabulary(model)
    order = sorted(range(len(branches)), key=lambda i: (len(branches[i].ids), branches[i].shared))
    while order:
        widest = len(branches[order[0]].ids)
        group: list[int] = []
        while order:
            branch = branches[order[0]]
            widest, size = max(widest, len(branch.ids)), len(group) + 1
            over = size * widest > budget.tokens or size * widest * vocab > budget.logits
            if group and over:
                break
            group.append(order.pop(0))
        yield group, _read_group(model, cache, [branches[i] for i in group])


def can_branch(model: nn.Module) -> bool:
    """Whether branches can be read from a cache: all layers attend to everything, positions can be given."""
    from transformers import DynamicCache
    from transformers.cache_utils import DynamicLayer

    if not {"past_key_values", "position_ids", "attention_mask"} <= arguments(model):
        return False
    return all(
        type(layer) is DynamicLayer for layer in DynamicCache(config=without_adapter(model).config).layers
    )


def arguments(model: nn.Module) -> frozenset[str]:
    """Names of the arguments of the model's forward, looked up below a peft wrapper."""
    return _arguments(type(without_adapter(model)).forward)


def vocabulary(model: nn.Module) -> int:
    """Number of logits per position."""
    return int(without_adapter(model).config.get_text_config().vocab_size)


def device_of(model: nn.Module) -> torch.device:
    """Where the inputs of a model must be."""
    return next(model.parameters()).device


@lru_cache(maxsize=32)
def _arguments(forward: Callable[..., Any]) -> frozenset[str]:
    return frozenset(inspect.signature(forward).parameters)


def _logits(output: Any) -> Tensor:
    logits = getattr(output, "logits", None)
    if not isinstance(logits, Tensor) or logits.ndim != 3:
        raise ModelError(
            f"the model's forward returned no logits ({type(output).__name__}).",
            remedy="It may be patched by a training framework; unpatch it before probing.",
        )
    return logits


def _read_group(model: nn.Module, cache: Any, branches: list[Branch]) -> Tensor:
    from transformers import DynamicCache

    device = device_of(model)
    parents = torch.tensor([b.parent for b in branches], device=device)
    shared = torch.tensor([b.shared for b in branches], device=device)
    deepest, width = max(b.shared for b in branches), max(len(b.ids) for b in branches)
    ids = torch.zeros(len(branches), width, dtype=torch.int64)
    for row, branch in enumerate(branches):
        ids[row, : len(branch.ids)] = torch.tensor(branch.ids)
    past = DynamicCache(
        [(layer.keys[parents, :, :deepest], layer.values[parents, :, :deepest]) for layer in cache.layers]
    )
    visible = torch.arange(deepest, device=device) < shared[:, None]
    output = model(
        input_ids=ids.to(device),
        attention_mask=torch.cat([visible, visible.new_ones(len(branches), width)], dim=1).long(),
        position_ids=shared[:, None] + torch.arange(width, device=device),
        past_key_values=past,
        use_cache=True,
    )
    return _logits(output)
