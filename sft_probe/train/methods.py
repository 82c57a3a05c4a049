"""Ways to make a base model trainable: frozen dataclasses registered under `sft_probe.methods`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal, Protocol, cast

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedModel


class Method(Protocol):
    """A frozen dataclass whose fields are all its options."""

    name: ClassVar[str]

    def adapt(self, model: nn.Module) -> nn.Module:
        """Set what is trainable in `model`, a copy of the base that the caller owns, and return it."""
        ...


@dataclass(frozen=True, kw_only=True)
class Full:
    """Every weight is trained."""

    name: ClassVar[str] = "full"

    def adapt(self, model: nn.Module) -> nn.Module:
        """All parameters require gradients."""
        return model.requires_grad_(True)


@dataclass(frozen=True, kw_only=True)
class Lora:
    """Low-rank adapters beside frozen weights (Hu et al. 2021, arXiv 2106.09685), through peft."""

    name: ClassVar[str] = "lora"
    r: int = 8
    lora_alpha: int = 16
    lora_dropout: float = 0.0
    target_modules: str | list[str] = "all-linear"  # every linear layer but the unembedding and `_unfit`
    use_rslora: bool = False
    bias: Literal["none", "all", "lora_only"] = "none"

    def adapt(self, model: nn.Module) -> nn.Module:
        """The base stays frozen; only adapters require gradients. Draws from torch's global generator."""
        from peft import LoraConfig, TaskType, get_peft_model

        config = LoraConfig(
            task_type=TaskType.CAUSAL_LM,
            r=self.r,
            lora_alpha=self.lora_alpha,
            lora_dropout=self.lora_dropout,
            target_modules=self.target_modules,
            exclude_modules=(_unfit(model) or None) if self.target_modules == "all-linear" else None,
            use_rslora=self.use_rslora,
            bias=self.bias,
        )
        return get_peft_model(cast("PreTrainedModel", model), config)


# Their kernels read the weight of `out_proj` and pass an adapter by, so peft refuses one there.
FUSED = frozenset({"falcon_h1", "falcon_mamba", "mamba", "mamba2", "nemotron_h"})


def _unfit(model: nn.Module) -> list[str]:
    """Linear layers that no adapter can be put on: fused ones, and routers, which return several tensors."""
    from torch import nn

    fused = getattr(getattr(model, "config", None), "model_type", "") in FUSED
    return [
        name
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear)
        and ("Router" in type(module).__name__ or (fused and name.endswith("out_proj")))
    ]
