"""One failing run leaves the others to go on: what is kept of it, in words that say what to do."""

from __future__ import annotations

import errno
import gc
import os
import traceback
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch

from sft_probe.errors import Diverged, InputError, RunsFailed, SftProbeError, first_line
from sft_probe.store.failures import Failure, Kind

if TYPE_CHECKING:
    from sft_probe.store.runs import RunStore
    from sft_probe.study.arms import Job
    from sft_probe.study.progress import Progress

NO_SPACE = (errno.ENOSPC, errno.EDQUOT)
OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "not enough memory")
MEMORY = (
    "Memory ran out. Lower per_device_train_batch_size and raise gradient_accumulation_steps, or set "
    "gradient_checkpointing."
)
DISK = "No space is left on the disk. Free some and run the study again."


def attempt(
    job: Job, digest: str, store: RunStore, progress: Progress, run: Callable[[], object]
) -> tuple[Failure, ...]:
    """Do a run. Returns nothing, or its failure, which is kept in its place.

    Ctrl-C and the like are no failures and pass.
    """
    try:
        run()
    except Exception as error:
        failure = Failure(
            run=job.run_id,
            arm=job.arm,
            seed=job.seed,
            digest=digest,
            kind=kind_of(error),
            reason=reason_of(error),
            traceback=traceback.format_exc(),
        )
    else:
        return ()
    _free_memory()  # only here, where the traceback holds no tensors any more
    progress.note(f"{job.run_id} failed: {failure.reason}")
    try:
        store.fail(failure)
    except OSError as error:
        progress.note(f"{job.run_id}: its failure could not be kept: {reason_of(error)}")
    return (failure,)


def lost(job: Job, digest: str, reason: str, store: RunStore) -> Failure:
    """The failure of a run that another process made: as that one kept it, else by the given reason."""
    if found := store.failure(job.run_id):
        return found
    failure = Failure(run=job.run_id, arm=job.arm, seed=job.seed, digest=digest, kind="error", reason=reason)
    store.fail(failure)
    return failure


def failed_before(job: Job, digest: str, store: RunStore) -> Failure | None:
    """The failure of a run that would fail again: training that diverged does so with the same settings."""
    found = store.failure(job.run_id)
    return found if found and found.kind == "diverged" and found.digest == digest else None


def stop_if_failed(failures: Sequence[Failure], total: int) -> None:
    """Raises: RunsFailed that names every failed run with its reason."""
    if failures:
        named = " ".join(f"{failure.run}: {failure.reason}" for failure in failures)
        raise RunsFailed(f"{len(failures)} of {total} runs failed; the others are finished. {named}")


def kind_of(error: BaseException) -> Kind:
    """What went wrong, as far as it can be told."""
    if isinstance(error, Diverged):
        return "diverged"
    if isinstance(error, InputError):
        return "input"
    if any(os.strerror(code) in str(error) for code in NO_SPACE):  # safetensors raises an error of its own
        return "disk"
    ran_out = isinstance(error, RuntimeError) and any(text in str(error).lower() for text in OUT_OF_MEMORY)
    return "memory" if ran_out or isinstance(error, MemoryError) else "error"


def reason_of(error: BaseException) -> str:
    """What went wrong, in a sentence."""
    if isinstance(error, SftProbeError):
        return str(error)
    known = {"memory": MEMORY, "disk": DISK}
    return known.get(kind_of(error), "") or first_line(error)


def _free_memory() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
