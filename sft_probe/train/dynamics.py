"""What training itself shows, step by step: gradients, updates, the optimiser's moments, and the loss.

It reads what the trainer has computed anyway: gradients, Adam's moments, the loss of each token. Weights are
read at no more than 2,048 entries per tensor, so memory does not grow with the model. Nothing is written,
nothing random is drawn, and weights after N steps are bit for bit those of a training that nobody watches.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from math import sqrt
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from sft_probe.errors import UnknownArchitecture
from sft_probe.measures.training import Moments, gradient_power, top_share
from sft_probe.models.anatomy import Anatomy, Place, anatomy
from sft_probe.observe.gathering import whole
from sft_probe.schema import NAN, Measurement, Measurements
from sft_probe.stats.intervals import Floats
from sft_probe.study.schedule import probe_steps
from sft_probe.study.spec import ScheduleSpec
from sft_probe.train.losses import TokenLosses

ALL = "all"
SAMPLE = 2048  # entries read per tensor; a mean square over them is off by about 3 %
RUN = 16  # of them side by side, as memory is read
RECORDS = 12  # log-spaced steps at which something is recorded, besides those at which probes look
TOP = 0.01
LOST = "training has left the numbers"
INSIDE_ADAPTER = "base_model.model."


@dataclass(frozen=True)
class _Tensor:
    """One trained tensor, its place, and the entries of it that are read (None for all)."""

    place: Place
    weight: nn.Parameter
    entries: Tensor | None

    def read(self, values: Tensor) -> Tensor:
        """The entries of a tensor of this shape, as float32."""
        flat = whole(values.detach()).reshape(-1)
        return (flat if self.entries is None else flat[self.entries]).float()

    @property
    def scale(self) -> float:
        """How many entries each one that is read stands for."""
        read = self.weight.numel() if self.entries is None else self.entries.numel()
        return self.weight.numel() / max(1, read)


class _Sums(NamedTuple):
    """What one tensor adds to the numbers of its blocks; NaN where the optimiser does not tell."""

    gradient: float
    update: float
    weight: float
    signal: float
    noise: float
    moment: float
    top: float


class Dynamics:
    """Follows one training. Make it when training begins; `close` it when training ends."""

    def __init__(
        self, model: nn.Module, rows: Any, tokenizer: Any, max_steps: int, looks: Collection[int]
    ) -> None:
        own = probe_steps(ScheduleSpec(points=RECORDS), max_steps) if max_steps > 0 else ()
        self._steps = frozenset((*own, *looks))
        self._tensors = _trained(model)
        self._before: list[Floats] | None = None
        self._losses = TokenLosses(tokenizer, rows)
        self._handle = self._losses.attach(model)

    def before_update(self, step: int) -> None:
        """Remember weights, if the update about to be made is on record. step: number of the update."""
        self._before = [_numpy(t.read(t.weight)) for t in self._tensors] if step in self._steps else None

    def after_update(self, optimizer: Any, scheduler: Any) -> Measurements:
        """What the update did, while its gradients are still there; nothing if it is not on record."""
        if self._before is None:
            return Measurements()
        groups = _groups(optimizer)
        sums: defaultdict[tuple[int, str], list[_Sums]] = defaultdict(list)
        for tensor, before in zip(self._tensors, self._before, strict=True):
            one = _sums(tensor, before, optimizer, groups)
            for place in {tensor.place, (tensor.place.layer, ALL), (-1, ALL)}:
                sums[place[0], place[1]].append(one)
        self._before = None
        rows = [row for place in sorted(sums) for row in _block_rows(*place, sums[place])]
        return Measurements((*rows, *_rate(scheduler), *self._losses.rows()))

    def close(self) -> None:
        """Stop listening to the model."""
        self._handle.remove()


def _trained(model: nn.Module) -> list[_Tensor]:
    """Trained tensors. The entries that are read are drawn once, from a generator of our own."""
    parts = _anatomy(model)
    found: list[_Tensor] = []
    for name, weight in model.named_parameters():
        if weight.requires_grad and weight.numel():
            place = _place(name, parts)
            entries = None
            if weight.numel() > SAMPLE:
                starts = np.random.default_rng(len(found)).integers(weight.numel() - RUN, size=SAMPLE // RUN)
                drawn = np.sort(starts)[:, None] + np.arange(RUN)
                entries = torch.from_numpy(drawn.reshape(-1)).to(weight.device)
            found.append(_Tensor(place, weight, entries))
    return found


def _anatomy(model: nn.Module) -> Anatomy | None:
    try:
        return anatomy(model)
    except (UnknownArchitecture, AttributeError):
        return None


def _place(name: str, parts: Anatomy | None) -> Place:
    inside = name.removeprefix("_orig_mod.").removeprefix(INSIDE_ADAPTER)
    return parts.place(inside) if parts else Place(-1, "other")


def _groups(optimizer: Any) -> dict[int, tuple[float, float]]:
    """By id of a parameter the betas of Adam; empty for other optimisers."""
    return {
        id(weight): group["betas"]
        for group in getattr(optimizer, "param_groups", ())
        if len(group.get("betas", ())) == 2
        for weight in group["params"]
    }


def _sums(tensor: _Tensor, before: Floats, optimizer: Any, betas: Mapping[int, tuple[float, float]]) -> _Sums:
    after, weight = _numpy(tensor.read(tensor.weight)), tensor.weight
    gradient = float(torch.linalg.vector_norm(whole(weight.grad))) ** 2 if weight.grad is not None else 0.0
    update, size = (tensor.scale * float(x @ x) for x in (after - before, before))
    signal = noise = moment = top = NAN
    state = optimizer.state.get(weight, {}) if id(weight) in betas else {}
    if {"exp_avg", "exp_avg_sq", "step"} <= state.keys():
        first, second = (_numpy(tensor.read(state[key])) for key in ("exp_avg", "exp_avg_sq"))
        power = gradient_power(Moments(first, second, betas[id(weight)], int(state["step"])))
        signal, noise = (tensor.scale * x for x in power) if power else (NAN, NAN)
        moment = tensor.scale * float(second.sum())
        top = moment * top_share(second, TOP) if moment > 0 else 0.0
    return _Sums(gradient, update, size, signal, noise, moment, top)


def _block_rows(layer: int, module: str, sums: list[_Sums]) -> Iterator[Measurement]:
    gradient, update, weight, signal, noise, moment, top = (sum(column) for column in zip(*sums, strict=True))
    why = "the first update, or the optimiser keeps no moments of Adam"
    ratio = sqrt(update / weight) if weight > 0 else NAN
    values = (
        ("gradient_norm", sqrt(gradient), NAN, LOST),
        ("update_ratio", ratio, 0.0, LOST if weight > 0 or np.isnan(weight) else "the weights are all zero"),
        ("gradient_snr", signal / noise if noise > 0 else NAN, 0.0, why),
        ("second_moment_top", top / moment if moment > 0 else NAN, TOP, why),
    )
    for metric, value, null, absent in values:
        yield Measurement(
            metric=metric,
            value=value,
            unit="1",
            layer=layer,
            module=module,
            n=len(sums),
            null_value=null,
            why=absent if np.isnan(value) else "",
        )


def _rate(scheduler: Any) -> Iterator[Measurement]:
    """The largest learning rate of this update."""
    if scheduler is not None and hasattr(scheduler, "get_last_lr"):
        yield Measurement(metric="learning_rate", value=float(max(scheduler.get_last_lr())), unit="1")


def _numpy(values: Tensor) -> Floats:
    return values.cpu().numpy().astype(np.float64)
