"""End an arm once its answers have the form it teaches (`science.md` section 2.2, A3)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from transformers import TrainerCallback

from sft_probe.observe.gathering import gathered
from sft_probe.observe.needs import Generations
from sft_probe.probes.format_adherence import well_formed

if TYPE_CHECKING:
    from transformers import TrainerControl, TrainerState, TrainingArguments

    from sft_probe.observe.observer import Observer
    from sft_probe.study.spec import StopSpec
    from sft_probe.train.host import Sink

IN_A_ROW = 2  # looks that must agree


class StopAtForm(TrainerCallback):
    """Ask some questions every few steps, and stop training when the answers were well formed twice in a row.

    Looking changes nothing, as with `ProbeHost`; the shares go to the training log as `well_formed`. An arm
    that never gets there takes all its steps.
    """

    def __init__(self, observer: Observer, stop: StopSpec, sink: Sink) -> None:
        self._observer, self._stop, self._sink = observer, stop, sink
        self._asked = Generations(dataset=stop.dataset, max_new_tokens=stop.max_new_tokens, limit=stop.limit)
        self._reached = 0

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **rest: Any
    ) -> None:
        """Look if it is time."""
        if state.global_step % self._stop.every:
            return
        with gathered(rest["model"]):
            seen = self._observer.look(rest["model"], [self._asked])
        share = float(well_formed(seen[self._asked]).mean())
        self._sink.log(state.global_step, {"well_formed": share})
        self._reached = self._reached + 1 if share >= self._stop.well_formed else 0
        if self._reached == IN_A_ROW:
            control.should_training_stop = True
