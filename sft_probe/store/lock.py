"""One process at a time writes to an output folder; the next one is refused and told who is at work."""

from __future__ import annotations

import logging
import os
import socket
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import IO, TYPE_CHECKING

from sft_probe.errors import LockedError
from sft_probe.store.atomic import remove_leftovers

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LOCK = ".lock"

logger = logging.getLogger(__name__)


@contextmanager
def locked(output_dir: Path) -> Iterator[None]:
    """Hold the folder of a study, and remove what a killed writer left half-written there.

    The kernel lets go of the lock when a process ends in any way, so a kill leaves nothing to clear. Where
    a file system or platform has no such locks, a warning says so and the work goes on.
    Raises: LockedError that names the process which holds the folder.
    """
    output_dir.mkdir(parents=True, exist_ok=True)
    with (output_dir / LOCK).open("a+", encoding="utf-8") as file:
        if not _taken(file):
            file.seek(0)
            raise LockedError(
                f"{file.read().strip() or 'another process'} is writing to this folder.",
                file=output_dir,
                remedy="Wait until it has ended, stop it, or choose another output_dir.",
            )
        _write(file, f"process {os.getpid()} on {socket.gethostname()}, at work since {_now()},")
        remove_leftovers(output_dir)
        try:
            yield
        finally:
            _write(file, "")


def holder(output_dir: Path) -> str:
    """Who is writing to the folder now, in words; empty if nobody is, or the file system cannot tell."""
    try:
        import fcntl

        with (output_dir / LOCK).open("r", encoding="utf-8") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return file.read().strip() or "another process"
    except (ImportError, OSError):
        pass
    return ""


def _taken(file: IO[str]) -> bool:
    """Take the lock of an open file, which ends with it. False if somebody else has it."""
    try:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except (ImportError, OSError) as error:
        logger.warning("%s cannot be locked (%s); let no other process write there", file.name, error)
    return True


def _write(file: IO[str], text: str) -> None:
    file.seek(0)
    file.truncate()
    file.write(text)
    file.flush()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
