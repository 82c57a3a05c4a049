"""Interventions on weights. A model's own tensors are laid aside and others put in their place.

Adapters take part with what they add to each weight: while other weights hold, the adapters of linear
layers are switched off, without peft's own switch, which would also change what is trained.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from hashlib import sha256
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from sft_probe.errors import ModelError, SpecError
from sft_probe.models.anatomy import Place, anatomy, learns_prompt
from sft_probe.observe.interventions.values import Block, Graft
from sft_probe.observe.weights import Effective, effective, home


class Site(NamedTuple):
    """A parameter in a model.

    name: in the base. owner: the module that holds it. adapter: the layer around that, if it adds to the
    forward pass. used: what the forward pass uses. base: the base's tensor.
    """

    name: str
    place: Place
    owner: nn.Module
    adapter: nn.Module | None
    parameter: nn.Parameter
    used: Effective
    base: Tensor

    @property
    def dense(self) -> Tensor:
        """What the forward pass uses, as one tensor; the model's own tensor where no adapter adds to it."""
        if self.used.factors is None:
            return self.used.weight
        left, right = self.used.factors
        return (self.used.weight.float() + left @ right).to(self.used.weight.dtype)


def interpolated(model: nn.Module, base: nn.Module, alpha: float) -> AbstractContextManager[None]:
    """Weights (1 - alpha) base + alpha model, in float32; exactly the base at 0, the model's own at 1."""

    def between(site: Site) -> Tensor:
        own = site.dense
        if alpha == 1 or torch.equal(own, site.base):
            return own
        return torch.lerp(site.base.float(), own.float(), alpha).to(own.dtype)

    return exchanged(model, base, between)


def grafted(model: nn.Module, base: nn.Module, graft: Graft) -> AbstractContextManager[None]:
    """Each weight from the model or from the base. Raises: SpecError for a layer that the model lacks."""
    last = len(anatomy(base).blocks) + 1
    if wrong := [layer for layer in graft.layers or () if not 0 <= layer <= last]:
        raise SpecError(
            f"Graft names layer {wrong[0]}, but the layers of this model are 0 to {last}.", field="under"
        )
    to_base = graft.direction == "tuned_to_base"

    def either(site: Site) -> Tensor:
        chosen = graft.takes(*site.place)
        if not (chosen and graft.random):
            return site.dense if chosen == to_base else site.base
        own, change = site.dense, site.dense.float() - site.base.float()
        change = shuffled(change, f"{graft.random} {site.name}")
        return ((site.base.float() + change) if to_base else (own.float() - change)).to(own.dtype)

    return exchanged(model, base, either)


def blocks(model: nn.Module, base: nn.Module) -> dict[Block, bool]:
    """All blocks of a model, by layer, and whether training changed them.

    Raises: ModelError for a model whose weights cannot be exchanged.
    """
    _require_weights(model)
    found: dict[Block, bool] = {}
    with torch.no_grad():
        for site in _sites(model, base):
            block = cast("Block", tuple(site.place))
            found[block] = found.get(block, False) or not torch.equal(site.dense, site.base)
    return dict(sorted(found.items()))


def shuffled(change: Tensor, seed: str) -> Tensor:
    """The same numbers, along every axis in another order and with signs turned at random.

    Norm and singular values stay as they are. Draws from no shared generator.
    """
    generator = torch.Generator().manual_seed(int.from_bytes(sha256(seed.encode()).digest()[:7]))
    for axis, size in enumerate(change.shape):
        order = torch.randperm(size, generator=generator)
        signs = 2 * torch.randint(0, 2, (size,), generator=generator) - 1
        signs = signs.view([-1 if a == axis else 1 for a in range(change.ndim)])
        change = change.index_select(axis, order.to(change.device)) * signs.to(change)
    return change


def quantised(model: nn.Module, base: nn.Module, bits: int) -> AbstractContextManager[None]:
    """Weight matrices of linear layers and experts inside the blocks, rounded."""
    last = len(anatomy(base).blocks)

    def rounded(site: Site) -> Tensor:
        inputs = _input_axis(site)
        inside = 1 <= site.place.layer <= last
        return round_to_nearest(site.dense, bits, inputs) if inside and inputs is not None else site.dense

    return exchanged(model, base, rounded, soft_prompts=True)


def round_to_nearest(weight: Tensor, bits: int, inputs: int) -> Tensor:
    """Symmetric rounding to 2^bits - 1 levels, the largest absolute value of each channel being one of them.

    inputs: the axis over which a channel sums; all others count channels. Computed in float32.
    """
    top = 2 ** (bits - 1) - 1
    values = weight.float()
    scale = values.abs().amax(dim=inputs, keepdim=True) / top
    levels = torch.where(scale > 0, values / scale, 0.0).round().clamp(-top, top)
    rounded: Tensor = (levels * scale).to(weight.dtype)
    return rounded


def _input_axis(site: Site) -> int | None:
    """The axis of inputs of a weight matrix; None for parameters that are no matrix."""
    if isinstance(site.owner, nn.Linear) and site.parameter.ndim == 2:
        return 1
    if type(site.owner).__name__ == "Conv1D" and site.parameter.ndim == 2:  # GPT-2: (inputs, outputs)
        return 0
    if site.place.module == "mlp" and site.parameter.ndim == 3:  # (experts, outputs, inputs) or transposed
        return 1 if getattr(site.owner, "is_transposed", False) else 2
    return None


@contextmanager
def exchanged(
    model: nn.Module, base: nn.Module, weight: Callable[[Site], Tensor], *, soft_prompts: bool = False
) -> Iterator[None]:
    """Other tensors in the place of weights, and the adapters whose product they hold switched off.

    soft_prompts: whether a model with a soft prompt, which is no weight of the base, will do.
    """
    if not soft_prompts:
        _require_weights(model)
    with torch.no_grad():
        sites = [(site, weight(site).to(site.parameter)) for site in _sites(model, base)]
    own = [(site.parameter, site.parameter.data) for site, _ in sites]
    adapters: list[Any] = [site.adapter for site, _ in sites if site.adapter is not None]
    try:
        for site, tensor in sites:
            site.parameter.data = tensor
        for layer in adapters:
            layer._disable_adapters = True
        yield
    finally:
        for layer in adapters:
            layer._disable_adapters = False
        for parameter, tensor in own:
            parameter.data = tensor


def _require_weights(model: nn.Module) -> None:
    if learns_prompt(model):
        raise ModelError("a soft prompt is no weight of the base, so it cannot be grafted or interpolated.")


def _sites(model: nn.Module, base: nn.Module) -> Iterator[Site]:
    """Every parameter of the base in the model. A tied weight comes once, unless the model has untied it."""
    parts, seen = anatomy(base), set()
    for name, weight in base.named_parameters(remove_duplicate=False):
        owner, adapter = home(model, name)
        parameter: Any = getattr(owner, name.rpartition(".")[2])
        if parameter not in seen:
            seen.add(parameter)
            before = weight.detach().to(parameter)
            yield Site(name, parts.place(name), owner, adapter, parameter, effective(model, name), before)
