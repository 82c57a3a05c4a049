"""How fast a base is read and trained on this machine, and what memory that takes: measured, not assumed."""

from __future__ import annotations

import resource
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from transformers import TrainerCallback

from sft_probe.data.examples import DataSets
from sft_probe.observe.forward import read
from sft_probe.observe.lending import lend
from sft_probe.observe.passages import Batch, Passage
from sft_probe.study.arms import Stage
from sft_probe.train.sft import ArmRun
from sft_probe.train.stages import train_arm

if TYPE_CHECKING:
    from sft_probe.models.load import LoadedModel
    from sft_probe.observe.workload import Work

REPETITIONS = 3
STEPS = 3  # of training; the first one, which allocates, is not timed


@dataclass(frozen=True, slots=True, kw_only=True)
class ForwardSpeed:
    """Seconds of a forward pass, as a straight line: so much for being one, and so much for each token."""

    per_pass: float
    per_token: float

    def seconds(self, work: Work) -> float:
        """What planned passes take."""
        return work.passes * self.per_pass + work.positions * self.per_token


def time_forward(model: nn.Module, *, width: int, tokens: int) -> ForwardSpeed:
    """Read one row and a full batch of rows, with the logits of their second halves.

    width: tokens per row.  tokens: in the full batch.
    """
    rows = max(2, tokens // width)
    with lend(model):
        one, full = (_seconds(model, n, width) for n in (1, rows))
    per_token = max(0.0, (full - one) / ((rows - 1) * width))
    return ForwardSpeed(per_pass=max(0.0, one - per_token * width), per_token=per_token)


def time_training(run: ArmRun, stage: Stage, base: LoadedModel, data: DataSets, scratch: Path) -> float:
    """Seconds of one optimiser step of a stage, through the trainer that will train it."""
    rows = STEPS * run.training.per_device_train_batch_size * run.training.gradient_accumulation_steps
    name = stage.spec.data or "train"
    few = DataSets({**data, name: replace(data[name], examples=data[name].examples[:rows])})
    short = replace(stage, training=run.training.model_copy(update={"max_steps": STEPS}))
    clock = _Clock()
    train_arm(replace(run, seed=0), (short,), base, few, scratch, lambda _: (clock,))
    return clock.seconds


def peak_memory() -> int:
    """Most bytes that were in use so far: on the accelerator, where there is one, else by this process."""
    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_allocated())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def job_memory(base: LoadedModel) -> int:
    """Bytes that a job of a study will take beside others, by what was in use here after looking at the base.

    Full fine-tuning adds the weights once more, gradients and two moments of Adam, all of them float32; an
    adapter takes less.
    """
    return peak_memory() + 4 * 4 * base.model.num_parameters()


class _Clock(TrainerCallback):
    """Time from the end of the first step to that of the last, per step."""

    def __init__(self) -> None:
        self._ends: list[float] = []

    def on_step_end(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        _wait()
        self._ends.append(time.perf_counter())

    @property
    def seconds(self) -> float:
        return (self._ends[-1] - self._ends[0]) / (len(self._ends) - 1)


def _seconds(model: nn.Module, rows: int, width: int) -> float:
    passage = Passage((1,) * (width + 1), max(1, width // 2))
    batch = Batch(tuple(range(rows)), (passage,) * rows)
    taken = []
    for _ in range(REPETITIONS + 1):
        start = time.perf_counter()
        logits, _ = read(model, batch)
        for at in range(0, len(logits), logits.step):
            logits.at(slice(at, at + logits.step)).float().log_softmax(-1)
        _wait()
        taken.append(time.perf_counter() - start)
    return median(taken[1:])


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
