"""Interventions on the residual stream, by hooks that hand on a changed tensor and never write to one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from sft_probe.errors import SpecError
from sft_probe.models.anatomy import anatomy, residual
from sft_probe.observe.interventions.values import Direction

Edit = Callable[[Tensor], Tensor]


@contextmanager
def editing(
    edit: Edit, *, entering: Sequence[nn.Module] = (), leaving: Sequence[nn.Module] = ()
) -> Iterator[None]:
    """Edit what enters and what leaves some modules, as long as this is open."""
    with ExitStack() as stack:
        for module in entering:
            hook = module.register_forward_pre_hook(partial(_edit_input, edit), with_kwargs=True)
            stack.callback(hook.remove)
        for module in leaving:
            stack.callback(module.register_forward_hook(partial(_edit_output, edit)).remove)
        yield


def ablated(model: nn.Module, direction: Direction) -> AbstractContextManager[None]:
    """Nothing along a direction in the residual stream: not in what enters the first block, not in what
    attention and blocks hand on, so that every sublayer reads a stream without it.

    Where it is not known what attention adds to the stream, the MLP of the same block still reads it.
    """
    parts = anatomy(model)
    sublayers = (module for module in parts.attention if module is not None)
    _check_layer(direction, len(parts.blocks))
    return editing(
        partial(without_component, direction=_vector(direction)),
        entering=parts.blocks[:1],
        leaving=(*sublayers, *parts.blocks),
    )


def added(model: nn.Module, direction: Direction, scale: float) -> AbstractContextManager[None]:
    """A multiple of a direction on top of the residual stream at the direction's layer, at every token."""
    blocks = anatomy(model).blocks
    _check_layer(direction, len(blocks))
    edit = partial(shifted, step=scale * _vector(direction))
    if direction.layer == 0:
        return editing(edit, entering=blocks[:1])
    return editing(edit, leaving=blocks[direction.layer - 1 : direction.layer])


def without_component(hidden: Tensor, direction: Tensor) -> Tensor:
    """Hidden states minus their projection on a direction, in float32.

    hidden: (..., hidden).  direction: (hidden,) of any length; zero removes nothing.
    """
    unit = _fitting(direction, hidden)
    unit = unit / unit.norm().clamp(min=torch.finfo(unit.dtype).tiny)
    states = hidden.float()
    left: Tensor = states - (states @ unit)[..., None] * unit
    return left.to(hidden.dtype)


def shifted(hidden: Tensor, step: Tensor) -> Tensor:
    """Hidden states plus a step, in float32.  hidden: (..., hidden).  step: (hidden,)."""
    return (hidden.float() + _fitting(step, hidden)).to(hidden.dtype)


def _fitting(vector: Tensor, hidden: Tensor) -> Tensor:
    if len(vector) != hidden.shape[-1]:
        raise SpecError(
            f"a direction of {len(vector)} numbers does not fit states of {hidden.shape[-1]}.", field="under"
        )
    return vector.to(device=hidden.device, dtype=torch.float32)


def _vector(direction: Direction) -> Tensor:
    return torch.tensor(direction.values, dtype=torch.float64)


def _check_layer(direction: Direction, n_blocks: int) -> None:
    if not 0 <= direction.layer <= n_blocks:
        raise SpecError(
            f"a direction at layer {direction.layer} does not fit a model of {n_blocks} blocks.",
            field="under",
            remedy=f"Layers are 0 (before the first block) to {n_blocks}.",
        )


def _edit_input(
    edit: Edit, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    if args:
        return (edit(args[0]), *args[1:]), kwargs
    return args, {**kwargs, "hidden_states": edit(kwargs["hidden_states"])}


def _edit_output(edit: Edit, module: nn.Module, args: Any, output: Any) -> Any:
    changed = edit(residual(output))
    return changed if isinstance(output, Tensor) else (changed, *output[1:])
