"""From the states that leave a model to its logits, apart from the rest of the forward pass.

With a large vocabulary the logits of a batch are far larger than everything else, and most are never read.
What a model does to its logits behind the unembedding is data here, and is checked against the model itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from sft_probe.models.anatomy import learns_prompt, without_adapter

SOFT_CAP_SHOWS = 30.0  # standard deviation of logits at which the soft cap of Gemma 2 (30) bends them

Finish = Callable[[Tensor, Any], Tensor]

# How a family finishes its logits; a missing attribute rules a line out. Read from transformers 5.23.
FINISHES: tuple[Finish, ...] = (
    lambda logits, config: logits,
    lambda logits, config: logits * config.logit_scale,  # Cohere
    lambda logits, config: logits / config.logits_scaling,  # Granite
    lambda logits, config: logits * config.logits_scaling,  # HyperCLOVA X
    lambda logits, config: logits * config.lm_head_multiplier,  # Falcon-H1
    lambda logits, config: (
        torch.tanh(logits / config.final_logit_softcapping) * config.final_logit_softcapping
    ),  # Gemma 2 and later
)


class Unembedding(NamedTuple):
    """The two halves of a forward pass. decoder: gives `last_hidden_state`, after the final norm."""

    decoder: nn.Module
    head: nn.Module
    finish: Finish
    config: Any

    def logits(self, states: Tensor) -> Tensor:
        """(..., hidden) states -> (..., vocab) logits, as the model's own forward makes them."""
        logits: Tensor = self.head(states.to(next(self.head.parameters()).dtype))
        return self.finish(logits, self.config)


_known: WeakKeyDictionary[nn.Module, Finish | None] = WeakKeyDictionary()


def unembedding(model: nn.Module) -> Unembedding | None:
    """How to read a model in two halves, or None if its forward does something that is not known here.

    The halves are checked once per model object, with two forward passes of three tokens; the model is lent
    already. An adapter that adds tokens of its own in front (prompt learning) has no such halves.
    """
    inner = without_adapter(model)
    if learns_prompt(model):
        return None
    head, decoder = inner.get_output_embeddings(), inner.get_decoder()
    if head is None or decoder is None or decoder is inner:
        return None
    halves = Unembedding(decoder, head, FINISHES[0], inner.config.get_text_config())
    if inner not in _known:
        _known[inner] = _finish(inner, halves)
    finish = _known[inner]
    return None if finish is None else halves._replace(finish=finish)


def _finish(model: Any, halves: Unembedding) -> Finish | None:
    """What makes the halves give what the model gives."""
    ids = torch.arange(1, 4, device=next(model.parameters()).device)[None]
    states, _ = _own_forward(model, halves.decoder, ids, None)
    alone = halves.decoder(input_ids=ids).last_hidden_state
    if states is None or alone.shape != states.shape or not torch.allclose(alone, states, rtol=1e-4):
        return None
    large = torch.randn(states.shape, generator=torch.Generator().manual_seed(0)).to(states)
    large *= SOFT_CAP_SHOWS / halves.logits(large).float().std()
    _, own = _own_forward(model, halves.decoder, ids, large)
    for finish in FINISHES:
        try:
            logits = halves._replace(finish=finish).logits(large)
        except (AttributeError, TypeError):  # the config has no such setting, or has None
            continue
        if own is not None and torch.allclose(logits.float(), own.float(), rtol=1e-3, atol=1e-3):
            return finish
    return None


def _own_forward(
    model: Any, decoder: nn.Module, ids: Tensor, replaced: Tensor | None
) -> tuple[Tensor | None, Tensor | None]:
    """States that leave the decoder, and logits, in the model's own forward; with other states if given."""
    seen: list[Tensor] = []

    def exchange(module: nn.Module, args: Any, output: Any) -> None:
        seen.append(output.last_hidden_state.clone())
        if replaced is not None:
            output.last_hidden_state = replaced

    handle = decoder.register_forward_hook(exchange)
    try:
        logits = getattr(model(input_ids=ids), "logits", None)
    except AttributeError:  # the decoder returns something else
        return None, None
    finally:
        handle.remove()
    return (seen[0] if seen else None), logits
