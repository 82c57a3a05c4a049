"""What training itself shows, step by step: gradients, updates, the optimiser's moments, and the loss.

It reads what the trainer has computed anyway: gradients, Adam's moments, the loss of each token. Weights are
read at no more than 2,048 entries per tensor, so memory does not grow with the model. Nothing is written,
nothing random is drawn, and weights after N steps are bit for bit those of a training that nobody watches.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
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
    """One trained tensor, its place, and where the runs of entries that are read begin (None for all)."""

    place: Place
    weight: nn.Parameter
    runs: Tensor | None

    def read(self, values: Tensor) -> Tensor:
        """The entries of a tensor of this shape, run by run."""
        flat = whole(values.detach()).reshape(-1)
        return flat if self.runs is None else flat.unfold(0, RUN, 1).index_select(0, self.runs).reshape(-1)

    @property
    def scale(self) -> float:
        """How many entries each one that is read stands for."""
        return 1.0 if self.runs is None else self.weight.numel() / (RUN * self.runs.numel())


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
        self._before = _read(self._tensors, _weights(self._tensors)) if step in self._steps else None

    def after_update(self, optimizer: Any, scheduler: Any) -> Measurements:
        """What the update did, while its gradients are still there; nothing if it is not on record."""
        if self._before is None:
            return Measurements()
        sums: defaultdict[tuple[int, str], list[_Sums]] = defaultdict(list)
        for tensor, one in zip(self._tensors, _sums(self._tensors, self._before, optimizer), strict=True):
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
            runs = None
            if weight.numel() > SAMPLE:
                starts = np.random.default_rng(len(found)).integers(weight.numel() - RUN, size=SAMPLE // RUN)
                runs = torch.from_numpy(np.sort(starts)).to(weight.device)
            found.append(_Tensor(place, weight, runs))
    return found


def _anatomy(model: nn.Module) -> Anatomy | None:
    try:
        return anatomy(model)
    except (UnknownArchitecture, AttributeError):
        return None


def _place(name: str, parts: Anatomy | None) -> Place:
    inside = name.removeprefix("_orig_mod.").removeprefix(INSIDE_ADAPTER)
    return parts.place(inside) if parts else Place(-1, "other")


def _betas(optimizer: Any) -> dict[int, tuple[float, float]]:
    """By id of a parameter the betas of Adam; empty for other optimisers."""
    return {
        id(weight): group["betas"]
        for group in getattr(optimizer, "param_groups", ())
        if len(group.get("betas", ())) == 2
        for weight in group["params"]
    }


def _sums(tensors: Sequence[_Tensor], before: Sequence[Floats], optimizer: Any) -> Iterator[_Sums]:
    """Of each tensor in turn. All are read at once: a device is waited for a few times, not for each."""
    after, gradients = _read(tensors, _weights(tensors)), _gradient_norms(tensors)
    moments = _moments(tensors, optimizer)
    for tensor, old, new, gradient in zip(tensors, before, after, gradients, strict=True):
        moved = new - old
        update, size = (tensor.scale * float(x @ x) for x in (moved, old))
        yield _Sums(gradient**2, update, size, *_of_moments(moments.get(id(tensor.weight)), tensor.scale))


def _of_moments(moments: Moments | None, scale: float) -> tuple[float, float, float, float]:
    """Signal and noise of the gradient, the second moment, and what its largest entries hold of it."""
    if moments is None:
        return NAN, NAN, NAN, NAN
    power, moment = gradient_power(moments), scale * float(moments.second.sum())
    signal, noise = (scale * x for x in power) if power else (NAN, NAN)
    return signal, noise, moment, moment * top_share(moments.second, TOP) if moment > 0 else 0.0


def _moments(tensors: Sequence[_Tensor], optimizer: Any) -> dict[int, Moments]:
    """By id of a weight what Adam keeps of it, if Adam has updated it."""
    betas = _betas(optimizer)
    kept = [(t, optimizer.state.get(t.weight, {})) for t in tensors if id(t.weight) in betas]
    kept = [(t, state) for t, state in kept if {"exp_avg", "exp_avg_sq", "step"} <= state.keys()]
    first, second = (
        _read([t for t, _ in kept], [state[key] for _, state in kept]) for key in ("exp_avg", "exp_avg_sq")
    )
    return {
        id(t.weight): Moments(mean, square, betas[id(t.weight)], int(state["step"]))
        for (t, state), mean, square in zip(kept, first, second, strict=True)
    }


def _weights(tensors: Sequence[_Tensor]) -> list[Tensor]:
    return [tensor.weight for tensor in tensors]


def _read(tensors: Sequence[_Tensor], values: Sequence[Tensor]) -> list[Floats]:
    """The entries of values that are shaped like these tensors, brought here all at once."""
    if not tensors:
        return []
    parts = [tensor.read(value) for tensor, value in zip(tensors, values, strict=True)]
    joined = torch.cat([part.to(parts[0].device, torch.float32) for part in parts])
    here = joined.cpu().numpy().astype(np.float64)
    return [here[start:end] for start, end in pairwise(accumulate((p.numel() for p in parts), initial=0))]


def _gradient_norms(tensors: Sequence[_Tensor]) -> list[float]:
    """0 where a tensor has no gradient."""
    norms = [
        torch.zeros(()) if t.weight.grad is None else torch.linalg.vector_norm(whole(t.weight.grad))
        for t in tensors
    ]
    device = tensors[0].weight.device if tensors else None
    return torch.stack([norm.to(device, torch.float32) for norm in norms]).tolist() if norms else []


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
