from __future__ import annotations

from math import log
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from sft_probe.errors import Diverged
from sft_probe.train.divergence import StopIfDiverged

CHANCE = log(100)


def say(alarm: StopIfDiverged, step: int, **logs: float) -> None:
    state: Any = SimpleNamespace(global_step=step, max_steps=9)
    nothing: Any = None
    alarm.on_log(nothing, state, nothing, logs=logs)


def test_a_loss_that_stays_twice_that_of_guessing_stops_training_at_its_third_line() -> None:
    alarm = StopIfDiverged(100)
    for step, loss in enumerate((3 * CHANCE, 3 * CHANCE, 1.9 * CHANCE, 3 * CHANCE, 2.1 * CHANCE)):
        say(alarm, step, loss=loss, grad_norm=1.0)
        say(alarm, step, well_formed=1.0)
    with pytest.raises(Diverged, match=r"the loss is 9\.67 nats per token at step 7"):
        say(alarm, 7, loss=2.1 * CHANCE)


@pytest.mark.parametrize("name", ["loss", "grad_norm", "train_loss"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_number_that_is_not_finite_stops_training_at_once(name: str, value: float) -> None:
    with pytest.raises(Diverged, match=f"{name} is {value} at step 4"):
        say(StopIfDiverged(100), 4, **{name: value})


def test_weights_are_judged_before_others_look() -> None:
    model, nothing = nn.Linear(2, 2), SimpleNamespace()
    with torch.no_grad():
        model.weight[0, 1] = float("nan")
    alarm: Any = StopIfDiverged(100, steps=(3,))
    for step in (1, 2):
        alarm.on_step_end(nothing, SimpleNamespace(global_step=step, max_steps=9), nothing, model=model)
    for step in (3, 9):
        with pytest.raises(Diverged, match=f"weight holds numbers that are not finite at step {step}"):
            alarm.on_step_end(nothing, SimpleNamespace(global_step=step, max_steps=9), nothing, model=model)
    model.weight.requires_grad_(False)
    alarm.on_step_end(nothing, SimpleNamespace(global_step=3, max_steps=9), nothing, model=model)
