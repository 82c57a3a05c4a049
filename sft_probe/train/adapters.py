"""Ways to train something beside frozen weights, through peft, registered under `sft_probe.methods`."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, ClassVar, Literal, cast

from sft_probe.errors import ModelError, SpecError

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedModel

    from sft_probe.train.regularisers.base import Regulariser


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
        return _adapted(model, self._config(model))

    def _config(self, model: nn.Module) -> Any:
        from peft import LoraConfig, TaskType

        return LoraConfig(
            task_type=TaskType.CAUSAL_LM,
            r=self.r,
            lora_alpha=self.lora_alpha,
            lora_dropout=self.lora_dropout,
            target_modules=self.target_modules,
            exclude_modules=_excluded(model, self.target_modules),
            use_rslora=self.use_rslora,
            bias=self.bias,
        )


@dataclass(frozen=True, kw_only=True)
class Dora(Lora):
    """LoRA that trains lengths apart from directions of weights (DoRA, Liu et al. 2024, arXiv 2402.09353)."""

    name: ClassVar[str] = "dora"

    def _config(self, model: nn.Module) -> Any:
        config = super()._config(model)
        config.use_dora = True
        return config


@dataclass(frozen=True, kw_only=True)
class Qlora(Lora):
    """LoRA beside weights in 4-bit NormalFloat; needs CUDA (Dettmers et al. 2023, arXiv 2305.14314).

    Needs bitsandbytes too. Linear layers of the blocks are rounded when training begins.
    """

    name: ClassVar[str] = "qlora"
    double_quant: bool = True

    def adapt(self, model: nn.Module) -> nn.Module:
        """Round the linear layers of the blocks and put adapters beside them. Raises: ModelError."""
        require_bitsandbytes()
        _round_to_nf4(model, double_quant=self.double_quant)
        return _adapted(model, self._config(model))


@dataclass(frozen=True, kw_only=True)
class Adalora:
    """LoRA whose rank is moved to where it matters while training (Zhang et al. 2023, arXiv 2303.10512).

    init_r, target_r: mean rank at the beginning and in the end. tinit, tfinal: shares of the steps before
    and after the rank falls. delta_t: steps between two allocations. orthogonal: weight of the term of the
    loss that keeps the factors orthogonal; peft adds it to a loss that TRL's trainers do not read, so it is
    added here.
    """

    name: ClassVar[str] = "adalora"
    init_r: int = 12
    target_r: int = 8
    tinit: float = 0.1
    tfinal: float = 0.3
    delta_t: int = 1
    lora_alpha: int = 16
    lora_dropout: float = 0.0
    orthogonal: float = 0.5
    target_modules: str | list[str] = "all-linear"

    def __post_init__(self) -> None:
        if not (self.tinit >= 0 and self.tfinal >= 0 and self.tinit + self.tfinal < 1):
            raise SpecError(
                "method 'adalora': tinit and tfinal are shares of the steps that leave some between them.",
                field="method_options",
            )

    def adapt(self, model: nn.Module) -> nn.Module:
        """Only adapters require gradients; `regularisers` must take part in the training."""
        from peft import AdaLoraConfig, TaskType

        config = AdaLoraConfig(
            task_type=TaskType.CAUSAL_LM,
            init_r=self.init_r,
            target_r=self.target_r,
            deltaT=self.delta_t,
            total_step=2,  # set once training knows how many there are
            lora_alpha=self.lora_alpha,
            lora_dropout=self.lora_dropout,
            orth_reg_weight=self.orthogonal,
            target_modules=self.target_modules,
            exclude_modules=_excluded(model, self.target_modules),
        )
        return _adapted(model, config)

    def regularisers(self) -> tuple[Regulariser, ...]:
        """What allocates the rank and keeps the factors orthogonal."""
        from sft_probe.train.regularisers.ranks import AllocateRanks

        return (AllocateRanks(tinit=self.tinit, tfinal=self.tfinal, weight=self.orthogonal),)


@dataclass(frozen=True, kw_only=True)
class Ia3:
    """A factor for every key, value and hidden unit of the MLP (IA³, Liu et al. 2022, arXiv 2205.05638).

    target_modules: linear layers whose outputs are scaled; None takes those that peft knows for the family.
    feedforward_modules: those among them whose inputs are scaled instead.
    """

    name: ClassVar[str] = "ia3"
    target_modules: list[str] | None = None
    feedforward_modules: list[str] | None = None

    def adapt(self, model: nn.Module) -> nn.Module:
        """Only the factors require gradients; they begin at 1. Raises: ModelError for an unknown family."""
        from peft import IA3Config, TaskType

        return _adapted(
            model,
            IA3Config(
                task_type=TaskType.CAUSAL_LM,
                target_modules=self.target_modules,
                feedforward_modules=self.feedforward_modules,
            ),
        )


@dataclass(frozen=True, kw_only=True)
class PromptTuning:
    """Trained embeddings in front of every text (Lester et al. 2021, arXiv 2104.08691).

    They begin as tokens of the vocabulary, drawn at random.
    """

    name: ClassVar[str] = "prompt_tuning"
    learns_prompt: ClassVar[bool] = True
    num_virtual_tokens: int = 8

    def adapt(self, model: nn.Module) -> nn.Module:
        """Only the embeddings in front require gradients."""
        from peft import PromptTuningConfig, TaskType

        _at_least_one(self.num_virtual_tokens, self.name)
        return _adapted(
            model,
            PromptTuningConfig(
                task_type=TaskType.CAUSAL_LM,
                num_virtual_tokens=self.num_virtual_tokens,
                prompt_tuning_init="SAMPLE_VOCAB",
            ),
        )


@dataclass(frozen=True, kw_only=True)
class PrefixTuning:
    """Trained keys and values before every text, in each block (Li & Liang 2021, arXiv 2101.00190).

    zero: begin with zeros rather than with random numbers. Neither answers as the base does, because
    attention spends some of its mass on the prefix.
    """

    name: ClassVar[str] = "prefix_tuning"
    learns_prompt: ClassVar[bool] = True
    num_virtual_tokens: int = 8
    zero: bool = True

    def adapt(self, model: nn.Module) -> nn.Module:
        """Only the prefix requires gradients."""
        from peft import PrefixTuningConfig, TaskType

        _at_least_one(self.num_virtual_tokens, self.name)
        return _adapted(
            model,
            PrefixTuningConfig(
                task_type=TaskType.CAUSAL_LM,
                num_virtual_tokens=self.num_virtual_tokens,
                init_weights="zero" if self.zero else None,
            ),
        )


def require_bitsandbytes() -> None:
    """Raises: ModelError where weights cannot be held in 4 bits."""
    import torch

    if find_spec("bitsandbytes") is None or not torch.cuda.is_available():
        missing = "bitsandbytes is not installed" if find_spec("bitsandbytes") is None else "there is no CUDA"
        raise ModelError(
            f"method 'qlora' holds the weights in 4 bits, for which {missing} here.",
            field="method",
            remedy="Use 'lora', or run where both are there (pip install sft-probe[qlora]).",
        )


# Their kernels read the weight of `out_proj` and pass an adapter by, so peft refuses one there.
FUSED = frozenset({"falcon_h1", "falcon_mamba", "mamba", "mamba2", "nemotron_h"})


def _adapted(model: nn.Module, config: Any) -> nn.Module:
    """The model with peft's adapter. Raises: ModelError for what peft cannot put an adapter on."""
    from peft import get_peft_model

    try:
        adapted: nn.Module = get_peft_model(cast("PreTrainedModel", model), config)
    except ValueError as error:
        raise ModelError(
            f"peft cannot adapt a {type(model).__name__} so: {str(error).strip().rstrip('.')}.",
            field="method_options",
            remedy="Name layers of this model as `target_modules`.",
        ) from error
    return adapted


def _excluded(model: nn.Module, targets: str | list[str]) -> list[str] | None:
    return (_unfit(model) or None) if targets == "all-linear" else None


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


def _round_to_nf4(model: nn.Module, *, double_quant: bool) -> None:
    """Put 4-bit layers in place of the linear layers of the blocks, on the device where they are."""
    from bitsandbytes.nn import Linear4bit, Params4bit  # type: ignore[import-not-found, unused-ignore]
    from torch import nn

    from sft_probe.models.anatomy import anatomy

    for block in anatomy(model).blocks:
        for path, old in [(n, m) for n, m in block.named_modules() if type(m) is nn.Linear]:
            new = Linear4bit(
                old.in_features,
                old.out_features,
                bias=old.bias is not None,
                compute_dtype=old.weight.dtype,
                compress_statistics=double_quant,
                quant_type="nf4",
            )
            new.weight = Params4bit(
                old.weight.detach().cpu().clone(),
                requires_grad=False,
                compress_statistics=double_quant,
                quant_type="nf4",
            )
            new.bias = old.bias
            owner, _, leaf = path.rpartition(".")
            setattr(block.get_submodule(owner), leaf, new.to(old.weight.device))
    cast("Any", model).is_loaded_in_4bit = True


def _at_least_one(tokens: int, method: str) -> None:
    if tokens < 1:
        raise SpecError(f"method '{method}' needs at least one virtual token.", field="method_options")
