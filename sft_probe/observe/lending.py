"""Borrow a model and give it back unchanged, whatever happens in between."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, TypeVar

import numpy as np
import torch
from torch import nn

Model = TypeVar("Model", bound=nn.Module)

HOOKS = (
    "_forward_hooks",
    "_forward_pre_hooks",
    "_forward_hooks_with_kwargs",
    "_forward_pre_hooks_with_kwargs",
    "_forward_hooks_always_called",
    "_backward_hooks",
    "_backward_pre_hooks",
)


@contextmanager
def lend(model: Model) -> Iterator[Model]:
    """Lend a model in eval mode and in its own precision, without gradients or gradient checkpointing.

    Afterwards, also after an exception, these are as before: the mode of every module, its hooks, the
    checkpointing switches, `use_cache` and `output_router_logits` of the config, and the random state of
    torch, CUDA, numpy and Python.
    """
    kept = (_modes, _hooks, _checkpointing, _use_cache, _router_logits, _own_precision)
    with ExitStack() as stack:
        stack.enter_context(_random_state())
        for keep in kept:
            stack.enter_context(keep(model))
        stack.enter_context(torch.no_grad())
        yield model.eval()


@contextmanager
def _random_state() -> Iterator[None]:
    python, legacy = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(legacy)


@contextmanager
def _modes(model: nn.Module) -> Iterator[None]:
    modes = {module: module.training for module in model.modules()}
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training


@contextmanager
def _hooks(model: nn.Module) -> Iterator[None]:
    before = {(module, kind): dict(getattr(module, kind)) for module in model.modules() for kind in HOOKS}
    try:
        yield
    finally:
        for (module, kind), hooks in before.items():
            present = getattr(module, kind)
            if len(present) != len(hooks) or present.keys() != hooks.keys():
                present.clear()
                present.update(hooks)


@contextmanager
def _checkpointing(model: nn.Module) -> Iterator[None]:
    on = [module for module in model.modules() if getattr(module, "gradient_checkpointing", False) is True]
    try:
        for module in on:
            module.gradient_checkpointing = False  # type: ignore[assignment]
        yield
    finally:
        for module in on:
            module.gradient_checkpointing = True  # type: ignore[assignment]


@contextmanager
def _use_cache(model: nn.Module) -> Iterator[None]:
    config: Any = getattr(model, "config", None)
    before = getattr(config, "use_cache", None)
    try:
        yield
    finally:
        if before is not None:
            config.use_cache = before


@contextmanager
def _router_logits(model: nn.Module) -> Iterator[None]:
    """Without the auxiliary loss of a mixture of experts, which a trainer may have switched on.

    It is computed in the forward pass and cannot be behind a cache, where mask and tokens differ in length.
    """
    config: Any = getattr(model, "config", None)
    before = getattr(config, "output_router_logits", None)
    try:
        if before:
            config.output_router_logits = False
        yield
    finally:
        if before:
            config.output_router_logits = before


@contextmanager
def _own_precision(model: nn.Module) -> Iterator[None]:
    """Without the autocast that accelerate wraps around `forward` for mixed-precision training.

    The base has no such wrapper; its rounding would pass for a difference between the models.
    """
    wrapped, original = model.__dict__.get("forward"), model.__dict__.get("_original_forward")
    if wrapped is None or original is None:
        yield
        return
    model.forward = original
    try:
        yield
    finally:
        model.forward = wrapped
