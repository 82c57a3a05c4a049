"""Executor `submitit`: a Slurm job for each job of a study."""

from __future__ import annotations

import time
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from sft_probe.errors import SpecError
from sft_probe.execute.executors import LOGS, Ended, Jobs, at_least, work

POLL = 2.0  # seconds between two looks at the queue


@dataclass(frozen=True, kw_only=True)
class Submitit:
    """Slurm jobs through submitit, which must be started where `sbatch` is.

    cluster: `slurm`, or `local` for processes here; found out if not given.  partition: of Slurm.  minutes:
    time limit.  cpus, gpus, memory (GiB): of each job; gpus is 1 where the base is on one.  at_once: jobs in
    the queue's array that may run side by side.
    """

    name: ClassVar[str] = "submitit"
    cluster: str | None = None
    partition: str | None = None
    minutes: int = 240
    cpus: int = 1
    gpus: int | None = None
    memory: float | None = None
    at_once: int = 256

    def __post_init__(self) -> None:
        at_least(1, minutes=self.minutes, cpus=self.cpus, at_once=self.at_once)
        at_least(0, gpus=self.gpus, memory=self.memory)

    def run(self, jobs: Jobs) -> Generator[Ended]:
        """Yield jobs as they end; what is still in the queue when the iterator is closed is cancelled."""
        queue = _submitit().AutoExecutor(folder=jobs.folder / LOGS / "submitit", cluster=self.cluster)
        queue.update_parameters(**self._parameters(jobs))
        folder, here = str(jobs.folder.resolve()), str(Path.cwd())
        with queue.batch():
            sent = [queue.submit(work, folder, run_id, here) for run_id in jobs.run_ids]
        pending = dict(zip(jobs.run_ids, sent, strict=True))
        try:
            while pending:
                for run_id in [run_id for run_id, job in pending.items() if job.done()]:
                    yield Ended(run_id, _reason(pending.pop(run_id)))
                time.sleep(POLL)
        finally:
            for left in pending.values():
                left.cancel()

    def _parameters(self, jobs: Jobs) -> dict[str, Any]:
        asked: dict[str, Any] = {
            "timeout_min": self.minutes,
            "cpus_per_task": self.cpus,
            "gpus_per_node": int(jobs.gpu) if self.gpus is None else self.gpus,
            "slurm_array_parallelism": self.at_once,
        }
        named = {"slurm_partition": self.partition, "mem_gb": self.memory}
        return asked | {key: value for key, value in named.items() if value is not None}


def _reason(job: Any) -> str:
    """One sentence about a job that has ended; empty if all went well."""
    error = job.exception()
    return str(job.result()) if error is None else f"Slurm ended it ({type(error).__name__})."


def _submitit() -> Any:
    try:
        import submitit
    except ImportError:
        raise SpecError(
            "the executor 'submitit' needs submitit.",
            field="--executor",
            remedy="Install sft-probe[slurm].",
        ) from None
    return submitit
