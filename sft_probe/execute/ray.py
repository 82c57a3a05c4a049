"""Executor `ray`: a Ray task for each job, on a cluster that is there or on one started for the study."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from sft_probe.errors import SpecError
from sft_probe.execute.executors import Ended, Jobs, at_least, work

GIB = 2**30


@dataclass(frozen=True, kw_only=True)
class Ray:
    """Tasks of a Ray cluster. A task whose worker or node is lost runs again elsewhere.

    address: of the cluster; else RAY_ADDRESS, else one that runs here, else one of this machine alone.
    cpus, gpus, memory: of each job, which Ray counts; gpus is 1 where the base is on one, memory in GiB.
    retries: how often a job is begun again that lost its worker.
    """

    name: ClassVar[str] = "ray"
    address: str | None = None
    cpus: float = 1
    gpus: float | None = None
    memory: float | None = None
    retries: int = 3

    def __post_init__(self) -> None:
        at_least(0, cpus=self.cpus, gpus=self.gpus, memory=self.memory, retries=self.retries)

    def run(self, jobs: Jobs) -> Generator[Ended]:
        """Yield jobs as they end; what is still running when the iterator is closed is cancelled."""
        ray = _ray()
        ours = not ray.is_initialized()
        if ours:
            ray.init(address=self.address, log_to_driver=False, logging_level="ERROR")
        try:
            yield from self._run(ray, jobs)
        finally:
            if ours:
                ray.shutdown()

    def _run(self, ray: Any, jobs: Jobs) -> Generator[Ended]:
        asked = self._resources(jobs)
        _there(asked, ray.cluster_resources())
        # A worker that has run a job ends with it, so that no job meets what another left in memory.
        task = ray.remote(**asked, max_retries=self.retries, max_calls=1)(work)
        folder, here = str(jobs.folder.resolve()), str(Path.cwd())
        pending = {task.remote(folder, run_id, here): run_id for run_id in jobs.run_ids}
        try:
            while pending:
                for done in ray.wait(list(pending), num_returns=1)[0]:
                    yield Ended(pending.pop(done), _reason(ray, done))
        finally:
            for left in pending:
                ray.cancel(left, force=True)

    def _resources(self, jobs: Jobs) -> dict[str, float]:
        gpus = float(jobs.gpu) if self.gpus is None else self.gpus
        asked = {"num_cpus": self.cpus, "num_gpus": gpus}
        return asked | ({"memory": self.memory * GIB} if self.memory else {})


def _there(asked: dict[str, float], found: dict[str, float]) -> None:
    """Raises: SpecError if the whole cluster has less than one job needs, for which Ray would wait."""
    for option, resource in (("num_cpus", "CPU"), ("num_gpus", "GPU"), ("memory", "memory")):
        if (wanted := asked.get(option, 0)) > (there := found.get(resource, 0)):
            raise SpecError(
                f"a job needs {wanted:g} {resource}, and the cluster has {there:g}.",
                field="--with",
                remedy=f"Set {option.removeprefix('num_')}=…, or add nodes.",
            )


def _reason(ray: Any, done: Any) -> str:
    """One sentence about a task that has ended; empty if all went well."""
    try:
        return str(ray.get(done))
    except ray.exceptions.RayError as error:
        return f"its worker was lost every time it was begun ({type(error).__name__})."


def _ray() -> Any:
    try:
        import ray
    except ImportError:
        raise SpecError(
            "the executor 'ray' needs Ray.", field="--executor", remedy="Install sft-probe[ray]."
        ) from None
    return ray
