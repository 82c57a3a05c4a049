"""Where the studies of a certificate are made: here one after the other, or shared out among processes."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
import warnings
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

from sft_probe.calibration.cells import Task, failures, run_task
from sft_probe.errors import RunsFailed
from sft_probe.execute.executors import Jobs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sft_probe.execute.executors import Executor
    from sft_probe.study.progress import Progress

MEMORY = 2 * 2**30  # bytes of a process: 1.4 GiB at most on the planted base, with the probes of all plants


class Inside:
    """Progress of one study within that of all: it tells what is done, and counts no work of its own."""

    def __init__(self, whole: Progress) -> None:
        self._whole = whole

    def start(self, total_units: float) -> None:
        """Ignore."""

    def activity(self, arm: str, seed: int, step: int, what: str) -> None:
        """Pass on."""
        self._whole.activity(arm, seed, step, what)

    def advance(self, units: float) -> None:
        """Ignore."""

    def note(self, text: str) -> None:
        """Ignore."""

    def close(self) -> None:
        """Ignore."""


def one_by_one(tasks: Sequence[Task], executor: Executor | None, progress: Progress) -> None:
    """Studies one after the other; the runs of each where the executor makes them."""
    for task in tasks:
        run_task(task, executor, Inside(progress))
        _tell(task, progress)


def side_by_side(tasks: Sequence[Task], executor: Executor | None, progress: Progress) -> None:
    """Whole studies shared out among as many processes as the executor `local` would have.

    A process ends with the one that began it, so that nothing goes on writing where the next command begins.
    Raises: RunsFailed if a process was killed.
    """
    slots = workers(tasks, executor)
    if slots < 2:
        one_by_one(tasks, None, progress)
        return
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    context = get_context("spawn")
    with ProcessPoolExecutor(slots, mp_context=context, initializer=_tie, initargs=(os.getpid(),)) as pool:
        waiting = {pool.submit(run_task, task): task for task in tasks}
        try:
            for done in as_completed(waiting):
                done.result()
                _tell(waiting[done], progress)
        except BrokenProcessPool as error:
            raise RunsFailed("a process was killed; the same command goes on from there.") from error
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for process in (pool._processes or {}).values():
                process.terminate()
            raise


def workers(tasks: Sequence[Task], executor: Executor | None) -> int:
    """How many processes work on the studies at once; 1 for executors that make single runs."""
    from sft_probe.execute.processes import Local

    if not isinstance(executor, Local) or not tasks:
        return 1
    names = tuple(task.folder.name for task in tasks)
    return len(executor.slots(Jobs(folder=Path(), run_ids=names, memory=MEMORY)))


def _tell(task: Task, progress: Progress) -> None:
    progress.advance(len(task.cells))
    progress.note(f"{task.folder.name}: {len(task.cells)} cells")
    for sentence in failures(task.folder):
        progress.note(f"failed: {sentence}")


def _tie(parent: int) -> None:
    """End this process when the one that began it is gone; that one alone hears of Ctrl-C and warns."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if not sys.warnoptions:
        warnings.simplefilter("ignore")

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
