"""The protocol of a regulariser: a small part of the loss or of the loop that holds a model near its base."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor, nn

from sft_probe.data.chat import IGNORED
from sft_probe.errors import SpecError
from sft_probe.models.anatomy import tokens_in_front
from sft_probe.models.load import LoadedModel

Rows = list[dict[str, Any]]  # `input_ids` and `labels` of each example


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What a regulariser may use besides the batches.

    model: about to be trained. base: what it came from, untouched. rows: tokenised rows of a data set of the
    study, by name. steps: optimiser steps at most. seed: for what is drawn.
    """

    model: nn.Module
    base: LoadedModel
    rows: Callable[[str], Rows]
    steps: int
    seed: int


@dataclass(frozen=True)
class Batch:
    """One forward pass of training. The logits are made when a regulariser first asks for them, once for all.

    inputs: as the trainer gives them to the model. tokens: trained tokens of the whole optimiser step, over
    all forward passes and devices that share it. share: of this pass in the step, for terms that do not
    depend on tokens; the shares of the passes of one step sum to 1.
    """

    model: nn.Module
    base: nn.Module
    inputs: Mapping[str, Any]
    tokens: float
    share: float

    @cached_property
    def trained(self) -> Tensor:
        """(batch, seq - 1) where the next token has a label."""
        if not {"input_ids", "labels"} <= self.inputs.keys():
            raise SpecError(
                "a regulariser of token losses needs rows of supervised fine-tuning.", field="regulariser"
            )
        found: Tensor = self.inputs["labels"][:, 1:] != IGNORED
        return found

    @cached_property
    def targets(self) -> Tensor:
        """(n,) the trained tokens."""
        found: Tensor = self.inputs["labels"][:, 1:][self.trained]
        return found

    @cached_property
    def logits(self) -> Tensor:
        """(n, vocab) of the model at the trained tokens, with gradients."""
        return self._logits(self.model)

    @cached_property
    def base_logits(self) -> Tensor:
        """(n, vocab) of the base there."""
        with torch.no_grad():
            return self._logits(self.base)

    @cached_property
    def logprob(self) -> Tensor:
        """(n,) log-probability of the trained tokens, in nats."""
        return _picked(self.logits, self.targets)

    @cached_property
    def base_logprob(self) -> Tensor:
        """(n,) of the base."""
        return _picked(self.base_logits, self.targets)

    @cached_property
    def place(self) -> Tensor:
        """(n,) place of each trained token in its answer, from 1. A token without label ends an answer."""
        count = torch.zeros_like(self.trained[:, 0], dtype=torch.int64)
        places = torch.zeros_like(self.trained, dtype=torch.int64)
        for column in range(self.trained.shape[1]):
            count = (count + 1) * self.trained[:, column]
            places[:, column] = count
        return places[self.trained]

    def mean(self, per_token: Tensor) -> Tensor:
        """What (n,) values of the trained tokens add to the mean over all tokens of the step."""
        return per_token.sum() / self.tokens

    def _logits(self, model: nn.Module) -> Tensor:
        seen = {k: v for k, v in self.inputs.items() if k not in ("labels", "use_cache")}
        logits: Tensor = model(**seen, use_cache=False).logits
        return logits[:, tokens_in_front(model) : -1][self.trained].float()


class Part:
    """What a regulariser does in one run. Each of these does nothing unless it is overridden."""

    def loss(self, loss: Tensor, batch: Batch) -> Tensor:
        """The loss of a forward pass, after this regulariser had its say."""
        return loss

    def updated(self, step: int) -> None:
        """Called after each optimiser step, from 1 on; the gradients are still there."""

    def finish(self) -> None:
        """Called once after the last step, before the finished model is looked at."""


class Regulariser(Protocol):
    """A frozen dataclass whose fields are its options; the first line of its docstring describes it.

    One that reads the trained tokens of a batch, which only SFT has, says so by an attribute `of_answers`.
    """

    name: ClassVar[str]

    def begin(self, setting: Setting) -> Part:
        """Its part in one run. Raises: SpecError if it does not fit the model or the data."""
        ...


def _picked(logits: Tensor, targets: Tensor) -> Tensor:
    return logits.log_softmax(-1).gather(1, targets[:, None]).squeeze(1)
