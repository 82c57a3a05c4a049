"""What training added to each weight of the base, for full models and for adapters of any kind."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sft_probe.errors import ModelError, SpecError
from sft_probe.models.anatomy import anatomy, learns_prompt, without_adapter
from sft_probe.observe.observations import WeightDelta, WeightsSeen


@dataclass(frozen=True, slots=True)
class Effective:
    """A weight as the forward pass uses it: a tensor, plus a low-rank product `left @ right` on top.

    Both factors are float32; their product has the shape of the tensor.
    """

    weight: Tensor
    factors: tuple[Tensor, Tensor] | None = None


def weights_seen(model: nn.Module, base: nn.Module) -> WeightsSeen:
    """Compare with the base tensor by tensor, lazily. A tied weight comes once, under its first name.

    The model must not be trained further before the deltas are read.
    """
    return WeightsSeen(iterate=lambda: _deltas(model, base))


def unchanged(model: nn.Module, base: nn.Module) -> bool:
    """Whether a model is exactly its base: all weights equal, all adapter products zero, no soft prompt."""
    if learns_prompt(model):
        return False
    for name, weight in base.named_parameters():
        tuned = effective(model, name)
        if tuned.weight.dtype != weight.dtype or not torch.equal(tuned.weight.to(weight.device), weight):
            return False
        if tuned.factors is not None and all(bool(factor.any()) for factor in tuned.factors):
            return False
    return True


def effective(model: nn.Module, name: str) -> Effective:
    """The weight that a model uses under a parameter name of its base.

    LoRA on linear layers gives its factors; every other adapter is merged into a copy of its layer by peft.
    Raises: ModelError if the model has no such weight.
    """
    module, leaf = _module(model, name), name.rpartition(".")[2]
    if not _is_tuner(module):
        weight = getattr(module, leaf, None)
        if not isinstance(weight, Tensor):
            raise ModelError(f"the model has no weight '{name}', so it was not trained from this base.")
        return Effective(weight.detach())
    active, layer = _at_work(module), module.get_base_layer()
    if not active or (_is_plain_lora(module, active) and leaf != "weight"):
        return Effective(getattr(layer, leaf).detach())
    if _is_plain_lora(module, active):
        return Effective(layer.weight.detach(), _lora_factors(module, active))
    layer = copy.deepcopy(module)
    while hasattr(layer, "base_layer"):  # peft nests the adapters of several parameters of one module
        layer.merge()
        layer = layer.base_layer
    return Effective(getattr(layer, leaf).detach())


def trained_change(model: nn.Module, name: str, before: Tensor) -> Tensor | None:
    """How far a trained weight of the base has moved, float32, with gradients; None where it is frozen.

    Raises: SpecError for an adapter whose change has no gradient in the weight itself (DoRA, IA³, …).
    """
    owner, around = home(model, name)
    leaf = name.rpartition(".")[2]
    adapter: Any = around
    if adapter is not None and leaf == "weight" and any(p.requires_grad for p in adapter.parameters()):
        active = _at_work(adapter)
        if not _is_plain_lora(adapter, active):
            raise SpecError(
                f"the change of '{name}' by this adapter cannot be held by its distance.",
                field="regulariser",
                remedy="Use 'lora' or a method that trains the weights themselves.",
            )
        moved: Tensor = sum((adapter.get_delta_weight(a) for a in active), start=torch.zeros(()))
        return moved.float()
    weight = getattr(owner, leaf)
    return weight.float() - before.detach().float() if weight.requires_grad else None


def home(model: nn.Module, name: str) -> tuple[nn.Module, nn.Module | None]:
    """The module that holds a parameter of the base, and the adapter layer around it if one is at work.

    Raises: ModelError if the model has no such parameter.
    """
    module = _module(model, name)
    around = module if _is_tuner(module) and _at_work(module) else None
    owner = module.get_base_layer() if _is_tuner(module) else module
    if not isinstance(getattr(owner, name.rpartition(".")[2], None), nn.Parameter):
        raise ModelError(f"the model has no weight '{name}', so it was not trained from this base.")
    return owner, around


def _deltas(model: nn.Module, base: nn.Module) -> Iterator[WeightDelta]:
    parts = anatomy(base)
    for name, weight in base.named_parameters():
        tuned, place = effective(model, name), parts.place(name)
        before = weight.detach().float().cpu()
        after = tuned.weight.float().cpu()
        delta = after - before
        factors = None
        if tuned.factors is not None:
            left, right = (factor.cpu() for factor in tuned.factors)
            delta += left @ right
            factors = (left.numpy(), right.numpy())
        yield WeightDelta(
            name=name,
            layer=place.layer,
            module=place.module,
            base=before.numpy(),
            delta=delta.numpy().astype(np.float32, copy=False),
            factors=factors,
        )


def _module(model: nn.Module, name: str) -> Any:
    """What stands, adapter layer included, where the base has the module of a parameter."""
    module: Any = without_adapter(model)
    for part in name.split(".")[:-1]:
        module = getattr(_inside(module), part, None)
    return _inside(module)


def _inside(module: Any) -> Any:
    """The trained copy inside a `modules_to_save` wrapper, or the module itself."""
    if hasattr(module, "modules_to_save") and hasattr(module, "original_module"):
        active = [a for a in module.active_adapters if a in module.modules_to_save]
        unused = module.disable_adapters or not active
        return module.original_module if unused else module.modules_to_save[active[0]]
    return module


def _is_tuner(module: Any) -> bool:
    return hasattr(module, "get_base_layer") and hasattr(module, "adapter_layer_names")


def _adapters(module: Any) -> set[str]:
    return {adapter for kind in module.adapter_layer_names for adapter in getattr(module, kind)}


def _at_work(module: Any) -> list[str]:
    """Adapters that a layer adds to its weight in the forward pass."""
    if module.merged or module.disable_adapters:
        return []
    return [adapter for adapter in module.active_adapters if adapter in _adapters(module)]


def _is_plain_lora(module: Any, active: list[str]) -> bool:
    """LoRA on a linear layer, without extras."""
    if hasattr(module, "parameter_name"):  # peft's wrapper of a bare parameter, such as that of experts
        return False
    odd = {
        *getattr(module, "lora_variant", {}),
        *getattr(module, "lora_E", {}),  # AdaLoRA: a diagonal between the factors
        *(a for a, on in getattr(module, "lora_bias", {}).items() if on),
    }
    return hasattr(module, "lora_A") and all(a in module.lora_A and a not in odd for a in active)


def _lora_factors(module: Any, active: list[str]) -> tuple[Tensor, Tensor]:
    """(out, r) and (r, in) factors of all active adapters side by side, scaling inside the first."""
    left = torch.cat([module.scaling[a] * module.lora_B[a].weight.detach().float() for a in active], dim=1)
    right = torch.cat([module.lora_A[a].weight.detach().float() for a in active], dim=0)
    return (right.T, left.T) if module.fan_in_fan_out else (left, right)
