"""Executor `local`: a process for each job here, as many at once as cores, memory and GPUs allow."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import deque
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import ClassVar

from sft_probe.execute.executors import Ended, Jobs, at_least

POLL = 0.2  # seconds between two looks at the running processes
GIB = 2**30


@dataclass(frozen=True, kw_only=True)
class Local:
    """Processes on this machine, as many at once as cores, free memory and GPUs allow.

    workers: at once; counted if not given.  cpus: threads of each.  memory: GiB of each; by estimate if not
    given.  retries: how often a job is begun again whose process was killed.
    """

    name: ClassVar[str] = "local"
    workers: int | None = None
    cpus: int = 1
    memory: float | None = None
    retries: int = 2

    def __post_init__(self) -> None:
        at_least(1, workers=self.workers, cpus=self.cpus)
        at_least(0, memory=self.memory, retries=self.retries)

    def run(self, jobs: Jobs) -> Generator[Ended]:
        """Yield jobs as they end; what is still running when the iterator is closed is stopped."""
        waiting = deque(_Try(run_id) for run_id in jobs.run_ids)
        running: dict[str, _Running] = {}
        free = self.slots(jobs)
        try:
            while waiting or running:
                while waiting and free:
                    one = waiting.popleft()
                    running[one.run_id] = _Running(one, slot := free.pop(0), self._start(jobs, one, slot))
                for ended in [r for r in running.values() if r.process.poll() is not None]:
                    del running[ended.job.run_id]
                    free.append(ended.slot)
                    code = ended.process.returncode
                    if code < 0 and ended.job.times <= self.retries:
                        waiting.append(_Try(ended.job.run_id, ended.job.times + 1))
                    else:
                        yield Ended(ended.job.run_id, _reason(jobs, ended.job.run_id, code))
                time.sleep(POLL)
        finally:
            for left in running.values():
                left.process.terminate()
            for left in running.values():
                left.process.wait()

    def slots(self, jobs: Jobs) -> list[str]:
        """One per process that may run at once: the GPU it computes on, or nothing."""
        gpus = visible_gpus() if jobs.gpu else []
        need = self.memory * GIB if self.memory else jobs.memory
        by_memory = int(_free_memory() // need) if need else len(jobs.run_ids)
        by_device = len(gpus) if gpus else _cores() // self.cpus
        count = self.workers or max(1, min(by_memory, by_device))
        return [gpus[i % len(gpus)] if gpus else "" for i in range(min(count, len(jobs.run_ids)))]

    def _start(self, jobs: Jobs, job: _Try, gpu: str) -> subprocess.Popen[bytes]:
        """The command `job`, tied to this process by its standard input."""
        log = jobs.log(job.run_id)
        log.parent.mkdir(parents=True, exist_ok=True)
        environment = {**os.environ, "OMP_NUM_THREADS": str(self.cpus)}
        if gpu:
            environment["CUDA_VISIBLE_DEVICES"] = gpu
        command = [sys.executable, "-m", "sft_probe", "job", str(jobs.folder), job.run_id, "--tied"]
        with log.open("wb") as output:
            return subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=output, stderr=subprocess.STDOUT, env=environment
            )


@dataclass(frozen=True)
class _Try:
    run_id: str
    times: int = 1


@dataclass(frozen=True)
class _Running:
    job: _Try
    slot: str
    process: subprocess.Popen[bytes] = field(repr=False)


def visible_gpus() -> list[str]:
    """Names of the GPUs that this process may use, as CUDA_VISIBLE_DEVICES has them."""
    import torch

    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    return named.split(",") if named else [str(index) for index in range(torch.cuda.device_count())]


def _reason(jobs: Jobs, run_id: str, code: int) -> str:
    """One sentence about a process that has ended; empty if all went well."""
    if code == 0:
        return ""
    if code < 0:
        return f"its process was killed by signal {-code} every time it was begun."
    lines = jobs.log(run_id).read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1].removeprefix("Error: ") if lines else f"its process ended with exit code {code}."


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _free_memory() -> int:
    import psutil

    return int(psutil.virtual_memory().available)
