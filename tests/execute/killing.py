"""A study in a process of its own that is killed at a chosen moment, as by a power cut or the kernel.

Moments are counted: every change of a file under the output folder (its opening, renaming, removal) and
every training step, look and probe. So a kill can fall into any of them, and the same number falls into the
same place again.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pandas as pd

CHANGES = {"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir"}
PRELOADED = ["sft_probe.execute.local", "trl.trainer.sft_trainer", "lm_eval"]


class Moments:
    """Counts moments of a study, and kills the process at one of them. Implements `Progress`."""

    def __init__(self, output_dir: Path, kill_at: int | None) -> None:
        self._folder, self._kill_at, self.count = str(output_dir), kill_at, 0
        sys.addaudithook(self._on_event)

    def _on_event(self, event: str, args: tuple[Any, ...]) -> None:
        if event in CHANGES and str(args[0]).startswith(self._folder) and _writes(event, args):
            self._pass()

    def _pass(self) -> None:
        if self.count == self._kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        self.count += 1

    def activity(self, arm: str, seed: int, step: int, what: str) -> None:
        self._pass()

    def start(self, total_units: float) -> None: ...

    def advance(self, units: float) -> None: ...

    def note(self, text: str) -> None: ...

    def close(self) -> None: ...


def _writes(event: str, args: tuple[Any, ...]) -> bool:
    return event != "open" or bool(args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))


def _study(text: str, kill_at: int | None, counted: Any) -> None:
    from sft_probe.execute.local import run_study
    from sft_probe.study.yaml import parse_study

    spec = parse_study(text, file="killed.yaml")
    moments = Moments(spec.output_dir, kill_at)
    run_study(spec, progress=moments)
    counted.value = moments.count


def run_and_kill(text: str, kill_at: int | None = None) -> int | None:
    """Run a study. Returns the number of its moments, or None if it was killed before its end."""
    server = multiprocessing.get_context("forkserver")
    server.set_forkserver_preload(PRELOADED)
    counted = server.Value("i", -1)
    process = server.Process(target=_study, args=(text, kill_at, counted))
    process.start()
    process.join()
    assert process.exitcode in (0, -signal.SIGKILL), process.exitcode
    return int(counted.value) if process.exitcode == 0 else None


def tables(output_dir: Path) -> dict[str, pd.DataFrame]:
    """The three tables of a study, without what the clock says."""
    from sft_probe.store.runs import RunStore

    store = RunStore(output_dir)
    log = store.train_log()
    clock = log.metric.str.startswith("train_") & (log.metric != "train_loss")
    return {"measurements": store.measurements(), "items": store.items(), "train_log": log[~clock]}
