"""Stop a training whose numbers have become useless, and say so."""

from __future__ import annotations

from collections.abc import Collection
from math import isfinite, log
from typing import TYPE_CHECKING, Any

import torch
from transformers import TrainerCallback

from sft_probe.errors import Diverged

if TYPE_CHECKING:
    from torch import nn
    from transformers import TrainerControl, TrainerState, TrainingArguments

WATCHED = ("loss", "train_loss", "grad_norm")
WORSE_THAN_CHANCE = 2.0  # loss in units of ln(vocabulary), which is that of guessing every token alike
IN_A_ROW = 3  # lines of the training log
REMEDY = "Lower its learning_rate, or raise its warmup_steps."


class StopIfDiverged(TrainerCallback):
    """Raise `Diverged` at a number that is not finite, or a loss that stays twice that of pure guessing.

    Losses and gradient norms are judged as the trainer logs them; weights, before others look at them.

    vocabulary: number of tokens the model can predict.  steps: at which others look.
    """

    def __init__(self, vocabulary: int, steps: Collection[int] = ()) -> None:
        self._limit = WORSE_THAN_CHANCE * log(vocabulary)
        self._steps = frozenset(steps)
        self._above = 0

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **rest: Any
    ) -> None:
        """Judge the weights if this step is looked at."""
        if state.global_step in self._steps or state.global_step == state.max_steps:
            _require_finite(rest["model"], state.global_step)

    def on_log(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **rest: Any
    ) -> None:
        """Judge what the trainer says."""
        logs = rest.get("logs") or {}
        for name in WATCHED:
            if name in logs and not isfinite(logs[name]):
                raise Diverged(f"{name} is {logs[name]} at step {state.global_step}. {REMEDY}")
        if "loss" in logs:
            self._above = self._above + 1 if logs["loss"] > self._limit else 0
        if self._above == IN_A_ROW:
            raise Diverged(
                f"the loss is {logs['loss']:.3g} nats per token at step {state.global_step}, "
                f"{WORSE_THAN_CHANCE:g} times that of guessing, and does not come down. {REMEDY}"
            )


def _require_finite(model: nn.Module, step: int) -> None:
    for name, weight in model.named_parameters():
        if weight.requires_grad and not torch.isfinite(weight).all():
            raise Diverged(f"{name} holds numbers that are not finite at step {step}. {REMEDY}")
