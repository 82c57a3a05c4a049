"""From the regularisers of an arm to a trainer that heeds them, whichever trainer it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from transformers import TrainerCallback

from sft_probe.data.chat import IGNORED
from sft_probe.registry import make
from sft_probe.train.regularisers.base import Batch, Part, Regulariser, Setting

if TYPE_CHECKING:
    from torch import Tensor, nn
    from transformers import TrainerControl, TrainerState, TrainingArguments


def make_regularisers(wanted: Mapping[str, Mapping[str, Any]]) -> tuple[Regulariser, ...]:
    """Regularisers by name with checked options, in their order. Raises: UnknownComponent, SpecError."""
    return tuple(make("regularisers", name, options, "regulariser") for name, options in wanted.items())


class Regularising(TrainerCallback):
    """Regularisers at work in one training: put it before the callback that looks at the model.

    They change the loss of any Hugging Face trainer through `attach`, one after the other, each seeing what
    the one before it left; and the weights after a step or, if the arm ends with this training (`last`), at
    the end.
    """

    def __init__(self, regularisers: Sequence[Regulariser], setting: Setting, *, last: bool = True) -> None:
        self._setting, self._last = setting, last
        self._parts: tuple[Part, ...] = tuple(part.begin(setting) for part in regularisers)

    def attach(self, trainer: Any) -> None:
        """Let the parts have their say on what a trainer's `compute_loss` returns in training."""
        if not self._parts:
            return
        own = trainer.compute_loss

        def compute_loss(
            model: nn.Module, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
        ) -> Any:
            found = own(model, inputs, return_outputs=return_outputs, num_items_in_batch=num_items_in_batch)
            if not model.training:
                return found
            loss, *others = found if return_outputs else (found,)
            batch = self._batch(trainer, model, inputs, num_items_in_batch)
            for part in self._parts:
                loss = part.loss(loss, batch)
            return (loss, *others) if return_outputs else loss

        trainer.compute_loss = compute_loss

    def on_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **rest: Any
    ) -> None:
        """Weights have moved; the trainer counts the step only afterwards."""
        for part in self._parts:
            part.updated(state.global_step + 1)

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **rest: Any
    ) -> None:
        """The last step was taken."""
        for part in self._parts if self._last else ():
            part.finish()

    def _batch(self, trainer: Any, model: nn.Module, inputs: Mapping[str, Any], items: Any) -> Batch:
        """As TRL counts (1.16): by the tokens of the whole step where the trainer gives their number.

        Data-parallel gradients are averaged over processes, so such a count is divided by their number.
        """
        shared = items is not None and trainer.model_accepts_loss_kwargs
        processes = trainer.accelerator.num_processes if trainer.args.average_tokens_across_devices else 1
        return Batch(
            model=model,
            base=self._setting.base.model,
            inputs=inputs,
            tokens=float(items) / processes if shared else _labelled(inputs),
            share=1 / trainer.current_gradient_accumulation_steps if shared else 1.0,
        )


def _labelled(inputs: Mapping[str, Any]) -> float:
    labels: Tensor | None = inputs.get("labels")
    return max(1.0, float((labels[:, 1:] != IGNORED).sum())) if labels is not None else 1.0
