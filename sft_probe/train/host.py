"""`ProbeHost`: the one callback that looks at a model while any Hugging Face `Trainer` trains it.

Looking changes nothing: the observer borrows the model without gradients, in eval mode, on a forked
random state, and gives it back as it was, so the weights after N steps are bit-identical with and
without probes (`tests/train/test_host.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from transformers import TrainerCallback

from sft_probe.schema import TRAINING

if TYPE_CHECKING:
    from torch import nn
    from transformers import TrainerControl, TrainerState, TrainingArguments

    from sft_probe.probes.battery import Battery
    from sft_probe.schema import Measurements
    from sft_probe.train.dynamics import Dynamics
    from sft_probe.train.trackers import Trackers


class Sink(Protocol):
    """Where rows go. `store.RunWriter` is one."""

    def append(self, step: int, probe: str, measurements: Measurements) -> None:
        """Keep what one probe said at one step."""
        ...

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Keep one line of the training log."""
        ...


def _nothing(step: int, probe: str) -> None:
    """Default for `on_activity`."""


class ProbeHost(TrainerCallback):
    """Run a battery of probes at step 0, at the scheduled steps and when training ends.

    Between looks it follows training itself (`train/dynamics.py`) and keeps that as `training_dynamics`. What
    is measured also goes to the trackers that the trainer reports to (`train/trackers.py`). In a loop of
    one's own, `step` takes the place of the trainer's calls.

    battery: the probes and the observer they share.
    steps: global steps at which to look; step 0 and the last step are always looked at.
    sink: receives every row.
    ends_only: names of probes that look only at step 0 and at the end.
    on_activity: called with (step, probe) before each look and with (step, "training") at each step.
    first: steps taken in trainings before this one, which are added to the number of every step; the model
        was looked at when the last of them ended, so it is not looked at again before the first step.
    loss: under which name the log keeps the trainer's loss, which objectives do not share.
    """

    def __init__(
        self,
        battery: Battery,
        steps: Collection[int],
        sink: Sink,
        *,
        ends_only: Collection[str] = (),
        on_activity: Callable[[int, str], None] = _nothing,
        first: int = 0,
        loss: str = "loss",
    ) -> None:
        self._battery = battery
        self._steps = frozenset(steps)
        self._sink = sink
        self._ends_only = frozenset(ends_only)
        self._on_activity = on_activity
        self._first = first
        self._loss = loss
        self._looked_at: int | None = None
        self._dynamics: Dynamics | None = None
        self._trackers: Trackers | None = None

    def step(self, model: nn.Module, step: int, *, last: bool = False) -> None:
        """For a training loop of one's own: call it with 0 before the first update, and after every update.

        It looks at step 0, at scheduled steps, and with all probes where `last`. Gradients, the optimiser and
        the trainer's log are not followed here.
        """
        self._on_activity(step, "training")
        if step == 0 or last:
            self._look(model, step, at_end=True)
        elif step in self._steps:
            self._look(model, step, at_end=False)

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **rest: Any
    ) -> None:
        """Look before the first step, then begin to follow training."""
        from sft_probe.train.dynamics import Dynamics
        from sft_probe.train.trackers import open_trackers

        self._trackers = open_trackers(args) if state.is_world_process_zero else None
        if not self._first:
            self._look(rest["model"], state.global_step, at_end=True)
        rows = getattr(rest.get("train_dataloader"), "dataset", None)
        tokenizer = rest.get("processing_class")
        self._dynamics = Dynamics(rest["model"], rows, tokenizer, state.max_steps, self._steps)

    def on_pre_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **rest: Any
    ) -> None:
        """Remember what the update will be compared with."""
        if self._dynamics:
            self._dynamics.before_update(state.global_step + 1)

    def on_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **rest: Any
    ) -> None:
        """Keep what the update did; the trainer counts it only afterwards."""
        if self._dynamics:
            found = self._dynamics.after_update(rest.get("optimizer"), rest.get("lr_scheduler"))
            if found.rows:
                self._sink.append(self._first + state.global_step + 1, TRAINING, found)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **rest: Any
    ) -> None:
        """Look if this step is on the schedule; the last step is left to `on_train_end`."""
        self._on_activity(self._first + state.global_step, "training")
        if state.global_step in self._steps and state.global_step < state.max_steps:
            self._look(rest["model"], state.global_step, at_end=False)

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **rest: Any
    ) -> None:
        """Look at the finished model, with all probes, unless this very step was looked at so."""
        if self._dynamics:
            self._dynamics.close()
            self._dynamics = None
        if self._trackers:
            self._trackers.reopen()
        if self._looked_at != state.global_step:
            self._look(rest["model"], state.global_step, at_end=True)
        if self._trackers:
            self._trackers.close()
            self._trackers = None

    def on_log(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **rest: Any
    ) -> None:
        """Keep the trainer's own numbers (loss, learning rate, gradient norm, token accuracy)."""
        numbers = {
            self._loss if name == "loss" else name: float(value)
            for name, value in (rest.get("logs") or {}).items()
            if isinstance(value, int | float)
        }
        self._sink.log(self._first + state.global_step, numbers)

    def _look(self, model: nn.Module, step: int, *, at_end: bool) -> None:
        skipped = frozenset[str]() if at_end else self._ends_only
        number = self._first + step
        looks = self._battery.measure(
            model, skip=skipped, on_probe=lambda probe: self._on_activity(number, probe)
        )
        for probe, measurements in looks.items():
            self._sink.append(number, probe, measurements)
        if self._trackers:
            self._trackers.log(number, looks)
        if at_end:
            self._looked_at = step
