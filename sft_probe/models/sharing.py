"""Models that lie on the same weights in memory, so that a base and its adapters need room for one."""

from __future__ import annotations

import copy
from collections.abc import Collection
from typing import Any

import torch
from torch import nn

from sft_probe.errors import ModelError


def shared_copy(model: nn.Module) -> nn.Module:
    """Another model object over the same weights in memory, for adapters or for a passing change.

    Modules, hooks and configuration are its own. So are its parameters, but not their storage: whoever
    writes to the weights of one in place writes to those of the other.
    """
    memo: dict[int, Any] = {
        id(weight): nn.Parameter(weight.detach(), requires_grad=weight.requires_grad)
        for weight in model.parameters()
    }
    return copy.deepcopy(model, memo | {id(buffer): buffer.detach() for buffer in model.buffers()})


def own_weights(model: nn.Module, base: nn.Module, *, named: Collection[str] = ()) -> nn.Module:
    """Give a model storage of its own for every weight that it trains and still shares with its base.

    named: endings of further names; what will be written into these must be its own too.
    """
    shared = {weight.data_ptr() for weight in base.parameters()}
    for name, weight in model.named_parameters():
        written = weight.requires_grad or any(ending.endswith(name) for ending in named)
        if written and weight.data_ptr() in shared:
            weight.data = weight.detach().clone()
    return model


def without_adapters(adapted: nn.Module) -> nn.Module:
    """The base inside a peft model, over the same weights and in eval mode; the peft model stays as it is.

    Raises: ModelError if the adapters have changed the base's own weights: merged, with trained biases, or in
    any way that shows when the adapters are switched off.
    """
    configs = getattr(adapted, "peft_config", {}).values()
    if not configs:
        raise ModelError("this model has no adapters, so there is no base inside it.")
    if any(getattr(module, "merged", False) for module in adapted.modules()):
        raise ModelError(
            "the adapters are merged into the weights of the base.", remedy="Unmerge them first."
        )
    if biases := [config.bias for config in configs if getattr(config, "bias", "none") != "none"]:
        raise ModelError(
            f"the adapter trains biases of the base itself (bias='{biases[0]}').",
            remedy="Load the base from where it was trained from.",
        )
    switched: Any = shared_copy(adapted).eval()
    copied: Any = shared_copy(adapted)
    base: nn.Module = copied.unload().eval()
    ids = torch.arange(1, 9, device=next(base.parameters()).device)[None]
    with torch.no_grad(), switched.disable_adapter():
        if not torch.equal(switched(input_ids=ids).logits, base(input_ids=ids).logits):
            raise ModelError("with its adapters switched off, the model does not answer as its base does.")
    return base
