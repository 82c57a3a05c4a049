"""`sft-probe job`: one arm with one seed of a study that `run` has begun; what executors start."""

from __future__ import annotations

import os
import threading
from typing import Annotated

import typer

from sft_probe.cli.options import StudyFolder
from sft_probe.errors import RunsFailed


def job(
    folder: StudyFolder,
    run_id: Annotated[str, typer.Argument(metavar="RUN", help="Name of a run, e.g. lora-seed0.")],
    tied: Annotated[bool, typer.Option("--tied", help="End when standard input is closed.")] = False,
) -> None:
    """Run one job of a study that `run` has begun, for schedulers of your own."""
    from sft_probe.execute.local import run_one

    if tied:
        threading.Thread(target=_end_with_input, daemon=True).start()
    if reason := run_one(folder, run_id):
        raise RunsFailed(reason)


def _end_with_input() -> None:
    """Who started this process holds its standard input, and is gone when it closes."""
    while os.read(0, 1):  # not through sys.stdin, whose lock a process that ends would wait for
        pass
    os._exit(1)
