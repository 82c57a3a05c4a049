"""Ways to make a base model trainable: frozen dataclasses registered under `sft_probe.methods`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal, Protocol, cast

from sft_probe.errors import SpecError

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
class Layers:
    """Only some blocks are trained; everything else stays as it is.

    first, last: numbers of blocks as in the reports, 1 to the number of blocks; None is the last block.
    """

    name: ClassVar[str] = "layers"
    first: int = 1
    last: int | None = None

    def adapt(self, model: nn.Module) -> nn.Module:
        """Parameters of these blocks require gradients. Raises: SpecError for blocks that are not there."""
        from sft_probe.models.anatomy import anatomy

        blocks = anatomy(model).blocks
        last = len(blocks) if self.last is None else self.last
        if not 1 <= self.first <= last <= len(blocks):
            raise SpecError(
                f"method 'layers' trains blocks {self.first} to {last}, but this model has {len(blocks)}.",
                field="method_options",
            )
        model.requires_grad_(False)
        for block in blocks[self.first - 1 : last]:
            block.requires_grad_(True)
        return model


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
