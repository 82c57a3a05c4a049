"""Regularisers that hold the weights themselves: L2-SP and elastic weight consolidation."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple

import torch
from torch import Tensor, nn

from sft_probe.data.chat import IGNORED
from sft_probe.errors import SpecError
from sft_probe.models.load import LoadedModel, trainable_copy
from sft_probe.observe.weights import trained_change
from sft_probe.train.regularisers.base import Batch, Part, Rows, Setting


@dataclass(frozen=True, kw_only=True)
class L2Sp:
    """weight · ‖θ - θ0‖² over the trained weights of the base (L2-SP, Li et al. 2018, arXiv 1802.01483).

    LoRA counts by the product that it adds. relative: each tensor's term is divided by ‖θ0‖² of the tensor.
    """

    name: ClassVar[str] = "l2_sp"
    weight: float = 0.01
    relative: bool = False

    def begin(self, setting: Setting) -> Part:
        """Raises: SpecError for adapters whose change of the weights has no gradient here."""

        def term(change: Change) -> Tensor:
            own = change.now.square().sum()
            return own / change.base.float().square().sum() if self.relative else own

        return _Pull(setting, self.weight, term)


@dataclass(frozen=True, kw_only=True)
class Ewc:
    """weight / 2 · Σ F (θ - θ0)², elastic weight consolidation (Kirkpatrick et al. 2017, arXiv 1612.00796).

    F is the diagonal Fisher information of the base on `dataset`: the mean over `examples` rows of the
    squared gradient of the row's log-likelihood, with labels "sampled" from the base or those of the "data"
    (the empirical Fisher).
    """

    name: ClassVar[str] = "ewc"
    weight: float = 1.0
    dataset: str = "generic"
    examples: int = 64
    labels: Literal["sampled", "data"] = "sampled"

    def begin(self, setting: Setting) -> Part:
        """Raises: SpecError as `L2Sp`, and for a data set without rows."""
        names = [change.name for change in changes(setting.model, setting.base.model)]
        rows = setting.rows(self.dataset)[: self.examples]
        sampled = setting.seed if self.labels == "sampled" else None
        importance = fisher(setting.base, rows, names, seed=sampled)
        return _Pull(
            setting, self.weight / 2, lambda change: (importance[change.name] * change.now.square()).sum()
        )


class Change(NamedTuple):
    """A weight of the base that is trained: how far it has moved, with gradients, and where it was."""

    name: str
    now: Tensor
    base: Tensor


def changes(model: nn.Module, base: nn.Module) -> Iterator[Change]:
    """All trained weights of the base.  Raises: SpecError if there is none, or for an unknown adapter."""
    found = False
    for name, before in base.named_parameters():
        change = trained_change(model, name, before)
        if change is not None:
            found = True
            yield Change(name, change, before)
    if not found:
        raise SpecError("this method trains no weight of the base that could be held.", field="regulariser")


def fisher(base: LoadedModel, rows: Rows, names: Sequence[str], *, seed: int | None) -> dict[str, Tensor]:
    """Diagonal Fisher information of the base for some of its weights, by name.

    rows: tokenised, one after the other. seed: for labels drawn from the base; None takes those of the rows.
    Raises: SpecError without rows.
    """
    if not rows:
        raise SpecError("there are no rows to take the Fisher information from.", field="regulariser.ewc")
    model: Any = trainable_copy(base).eval()
    weights = {name: weight for name, weight in model.named_parameters() if name in {*names}}
    generator = None if seed is None else torch.Generator().manual_seed(seed)
    sums = {name: torch.zeros_like(weight, dtype=torch.float32) for name, weight in weights.items()}
    for row in rows:
        ids, labels = (torch.tensor(row[key], device=base.device)[None] for key in ("input_ids", "labels"))
        trained = labels[0, 1:] != IGNORED
        logprob = model(input_ids=ids, use_cache=False).logits[0, :-1][trained].float().log_softmax(-1)
        targets = labels[0, 1:][trained] if generator is None else _drawn(logprob, generator)
        loss = logprob.gather(1, targets[:, None]).sum()
        for name, slope in zip(weights, torch.autograd.grad(loss, list(weights.values())), strict=True):
            sums[name] += slope.detach().float().square()
    return {name: total / len(rows) for name, total in sums.items()}


class _Pull(Part):
    """weight · Σ over trained weights of a term of each."""

    def __init__(self, setting: Setting, weight: float, term: Callable[[Change], Tensor]) -> None:
        self._setting, self._weight, self._term = setting, weight, term
        for _ in changes(setting.model, setting.base.model):  # refuses before training, not in it
            pass

    def loss(self, loss: Tensor, batch: Batch) -> Tensor:
        """Add the term of this step's weights."""
        terms = [self._term(change) for change in changes(self._setting.model, self._setting.base.model)]
        return loss + self._weight * batch.share * torch.stack(terms).sum()


def _drawn(logprob: Tensor, generator: torch.Generator) -> Tensor:
    drawn = torch.multinomial(logprob.detach().exp().cpu(), 1, generator=generator)
    return drawn[:, 0].to(logprob.device)
