"""Ways to train weights of the base itself, all or some: frozen dataclasses under `sft_probe.methods`.

What lies beside the weights is in `train/adapters.py`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Protocol

from sft_probe.errors import SpecError

if TYPE_CHECKING:
    from torch import nn


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
class Head:
    """Only the unembedding is trained; where it is tied to the embedding, that is the same matrix."""

    name: ClassVar[str] = "head"

    def adapt(self, model: nn.Module) -> nn.Module:
        """Parameters of the unembedding require gradients."""
        from sft_probe.models.anatomy import without_adapter

        model.requires_grad_(False)
        without_adapter(model).get_output_embeddings().requires_grad_(True)
        return model


@dataclass(frozen=True, kw_only=True)
class BiasNorm:
    """Only biases and norms are trained (BitFit, Zaken et al. 2022, arXiv 2106.10199, and the norms)."""

    name: ClassVar[str] = "bias_norm"

    def adapt(self, model: nn.Module) -> nn.Module:
        """Biases of any module and weights of norms require gradients."""
        kind = _kind_in(model)
        return _train_only(model, lambda name: name.endswith("bias") or kind(name) == "norm", self.name)


@dataclass(frozen=True, kw_only=True)
class MlpOnly:
    """Only the MLPs of the blocks are trained."""

    name: ClassVar[str] = "mlp_only"

    def adapt(self, model: nn.Module) -> nn.Module:
        """Parameters of MLPs require gradients, experts among them."""
        kind = _kind_in(model)
        return _train_only(model, lambda name: kind(name) == "mlp", self.name)


@dataclass(frozen=True, kw_only=True)
class AttentionOnly:
    """Only the attention of the blocks is trained."""

    name: ClassVar[str] = "attention_only"

    def adapt(self, model: nn.Module) -> nn.Module:
        """Parameters of attention require gradients, without norms. Raises: SpecError if there is none."""
        kind = _kind_in(model)
        return _train_only(model, lambda name: kind(name) == "attention", self.name)


@dataclass(frozen=True, kw_only=True)
class Pattern:
    """Weights are trained or frozen by patterns in their names.

    train, freeze: regular expressions that are searched in a parameter's name, as in
    `model.named_parameters()`. What any of `train` finds is trained, unless one of `freeze` finds it too.
    """

    name: ClassVar[str] = "pattern"
    train: tuple[str, ...] | list[str] = (".",)
    freeze: tuple[str, ...] | list[str] = ()

    def __post_init__(self) -> None:
        for pattern in (*self.train, *self.freeze):
            try:
                re.compile(pattern)
            except re.error as error:
                raise SpecError(
                    f"'{pattern}' is no regular expression: {error}.", field="method_options"
                ) from error

    def adapt(self, model: nn.Module) -> nn.Module:
        """Found parameters require gradients. Raises: SpecError for a pattern that no parameter has."""
        names = [name for name, _ in model.named_parameters()]
        for pattern in (*self.train, *self.freeze):
            if not any(re.search(pattern, name) for name in names):
                raise SpecError(
                    f"method 'pattern': no weight has '{pattern}' in its name.",
                    field="method_options",
                    remedy=f"Names are like '{names[-1]}'.",
                )
        return _train_only(
            model, lambda name: _any(self.train, name) and not _any(self.freeze, name), self.name
        )


def _any(patterns: tuple[str, ...] | list[str], name: str) -> bool:
    return any(re.search(pattern, name) for pattern in patterns)


def _kind_in(model: nn.Module) -> Callable[[str], str]:
    """Kind of module ("mlp", "norm", …) of a parameter's name in this model."""
    from sft_probe.models.anatomy import anatomy

    parts = anatomy(model)
    return lambda name: parts.place(name).module


def _train_only(model: nn.Module, chosen: Callable[[str], bool], method: str) -> nn.Module:
    """Freeze all but the parameters chosen by name. Raises: SpecError if none is."""
    wanted = [name for name, _ in model.named_parameters() if chosen(name)]
    if not wanted:
        raise SpecError(f"method '{method}': this model has no such weights.", field="method")
    for name, weight in model.named_parameters():
        weight.requires_grad_(name in {*wanted})
    return model
