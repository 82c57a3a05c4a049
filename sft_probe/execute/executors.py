"""Where the jobs of a study run: executors, registered under `sft_probe.executors`.

A job is a name in a folder: `<output_dir>/study.yaml` and a run id are all that another process needs to
train one arm with one seed (`execute.local.run_one`). What it leaves is the run's own folder, so nothing but
the reason of a failure has to come back, and a job that was lost can be begun again anywhere.
"""

from __future__ import annotations

import os
import traceback
from collections.abc import Generator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Protocol

import yaml

from sft_probe.errors import SftProbeError, SpecError, first_line, nearest
from sft_probe.registry import load
from sft_probe.store.atomic import write_text
from sft_probe.store.documents import STUDY

LOGS = "logs"


@dataclass(frozen=True, slots=True, kw_only=True)
class Jobs:
    """Jobs of one study. folder: its `output_dir`, which every worker must see.

    memory: bytes of main memory that one of them takes, by estimate; 0 if unknown.  gpu: it computes on one.
    """

    folder: Path
    run_ids: tuple[str, ...]
    memory: int = 0
    gpu: bool = False

    def log(self, run_id: str) -> Path:
        """Where a job's own output goes."""
        return self.folder / LOGS / f"{run_id}.log"


class Ended(NamedTuple):
    """A job that has ended. reason: one sentence if it failed, else empty."""

    run_id: str
    reason: str = ""


class Executor(Protocol):
    """A frozen dataclass whose fields are all its options."""

    name: ClassVar[str]

    def run(self, jobs: Jobs) -> Generator[Ended]:
        """Run jobs, in any order and side by side, and yield each as it ends.

        Closing the iterator stops what is still running.
        """
        ...


def make_executor(name: str, options: Mapping[str, str]) -> Executor:
    """A registered executor with its options checked by name. options: values as YAML.

    Raises: UnknownComponent for the executor, SpecError for an option or its value.
    """
    kind = load("executors", name)
    known = [f.name for f in fields(kind)]
    for option in options:
        if option not in known:
            raise SpecError(
                f"executor '{name}' has no option '{option}'.", field="--with", remedy=nearest(option, known)
            )
    try:
        values: dict[str, Any] = {option: yaml.safe_load(text) for option, text in options.items()}
        executor: Executor = kind(**values)
    except (yaml.YAMLError, TypeError) as error:
        raise SpecError(f"executor '{name}' cannot use its options: {error}.", field="--with") from error
    return executor


def at_least(least: float, **values: float | None) -> None:
    """Raises: SpecError for an option of an executor below a bound, or one that is no number."""
    for option, value in values.items():
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if value is not None and not (number and value >= least):
            raise SpecError(f"expected a number of at least {least:g}, not {value!r}.", field=option)


def work(folder: str, run_id: str, here: str) -> str:
    """Run one job in a worker on some machine. here: where relative paths of the study start.

    Returns: why it failed, or nothing. The traceback stands in the job's log.
    """
    from sft_probe.execute.local import run_one

    jobs = Jobs(folder=Path(folder), run_ids=(run_id,))
    if not (jobs.folder / STUDY).is_file():
        return (
            f"{folder}: this worker finds no study here. Give a folder that all machines see under this path."
        )
    os.chdir(here)
    try:
        return run_one(jobs.folder, run_id)
    except Exception as error:  # before it began
        write_text(jobs.log(run_id), traceback.format_exc())
        return str(error) if isinstance(error, SftProbeError) else first_line(error)
