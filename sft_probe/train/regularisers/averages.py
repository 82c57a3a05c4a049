"""Regularisers that average or merge weights: they change the finished model, not the loss."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import nn

from sft_probe.errors import SpecError
from sft_probe.models.anatomy import learns_prompt
from sft_probe.observe.weights import home
from sft_probe.train.regularisers.base import Part, Setting


@dataclass(frozen=True, kw_only=True)
class Ema:
    """The finished model is the moving average of the trained weights over the steps, adapters included.

    After each step average ← decay · average + (1 - decay) · weights; it begins with the weights before
    training. Looks before the end see the weights themselves.
    """

    name: ClassVar[str] = "ema"
    decay: float = 0.99

    def __post_init__(self) -> None:
        if not 0 <= self.decay < 1:
            raise SpecError("'ema' takes a decay in [0, 1).", field="regulariser.ema")

    def begin(self, setting: Setting) -> Part:
        """Fits every model."""
        return _Average(setting.model, self.decay)


@dataclass(frozen=True, kw_only=True)
class WiseFt:
    """The finished model is base + alpha · (tuned - base) (WiSE-FT, Wortsman et al. 2022, arXiv 2109.01903).

    All weights take part; adapters are merged first. Looks before the end see the tuned weights.
    """

    name: ClassVar[str] = "wise_ft"
    alpha: float = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.alpha <= 1:
            raise SpecError("'wise_ft' takes an alpha in [0, 1].", field="regulariser.wise_ft")

    def begin(self, setting: Setting) -> Part:
        """Raises: SpecError for a learned prompt, which is no change of weights."""
        _require_weights(setting.model, self.name)
        return _Between(setting, self.alpha)


@dataclass(frozen=True, kw_only=True)
class Merge:
    """Adapters are merged into the weights once training ends, and the finished model has none."""

    name: ClassVar[str] = "merge"

    def begin(self, setting: Setting) -> Part:
        """Raises: SpecError for a model without adapters that could be merged."""
        _require_weights(setting.model, self.name)
        if not hasattr(setting.model, "peft_config"):
            raise SpecError("'merge' needs a method with adapters.", field="regulariser.merge")
        return _Merged(setting.model)


def merge_adapters(model: nn.Module) -> None:
    """Add adapters to weights that the model is first given as its own, so that those of the base stay."""
    adapted: Any = model
    for module in adapted.modules():
        if hasattr(module, "get_base_layer"):
            for weight in module.get_base_layer().parameters():
                weight.data = weight.detach().clone()
    adapted.merge_adapter(safe_merge=True)


def without_merged(model: nn.Module) -> nn.Module:
    """The plain model, where its adapters are merged into its weights; else the model as it is."""
    adapted: Any = model
    merged = any(getattr(module, "merged", False) for module in adapted.modules())
    plain: nn.Module = adapted.unload() if merged else model
    return plain


class _Average(Part):
    def __init__(self, model: nn.Module, decay: float) -> None:
        self._weights = [weight for weight in model.parameters() if weight.requires_grad]
        self._average = [weight.detach().clone() for weight in self._weights]
        self._decay = decay

    @torch.no_grad()
    def updated(self, step: int) -> None:
        """Move the average towards the weights."""
        for average, weight in zip(self._average, self._weights, strict=True):
            average.lerp_(weight.detach(), 1 - self._decay)

    @torch.no_grad()
    def finish(self) -> None:
        """Put the average in the place of the weights."""
        for average, weight in zip(self._average, self._weights, strict=True):
            weight.copy_(average)


class _Between(Part):
    def __init__(self, setting: Setting, alpha: float) -> None:
        self._model, self._base, self._alpha = setting.model, setting.base.model, alpha

    @torch.no_grad()
    def finish(self) -> None:
        """Go back from the tuned weights towards the base's."""
        if hasattr(self._model, "peft_config"):
            merge_adapters(self._model)
        for name, before in self._base.named_parameters():
            weight = getattr(home(self._model, name)[0], name.rpartition(".")[2])
            if weight.data_ptr() != before.data_ptr():
                weight.copy_(torch.lerp(before, weight, self._alpha))


class _Merged(Part):
    def __init__(self, model: nn.Module) -> None:
        self._model = model

    def finish(self) -> None:
        """Merge."""
        merge_adapters(self._model)


def _require_weights(model: nn.Module, name: str) -> None:
    if learns_prompt(model):
        raise SpecError(
            f"'{name}' needs a method that changes weights; a learned prompt changes none.",
            field="regulariser",
        )
