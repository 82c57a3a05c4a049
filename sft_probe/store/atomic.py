"""Files that are either whole or absent: write beside, flush to disk, rename into place."""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any

import pyarrow.parquet as pq

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pyarrow as pa

LEFTOVER = ".tmp"


def write_bytes(path: Path, content: bytes) -> None:
    """Replace `path` by `content` in one step; a reader sees the old file or the new one, never a part."""
    with _replacing(path) as file:
        file.write(content)


def write_text(path: Path, content: str) -> None:
    """`write_bytes` for UTF-8 text."""
    write_bytes(path, content.encode("utf-8"))


def write_json(path: Path, content: Any) -> None:
    """`write_bytes` for JSON with sorted keys. NaN is refused, because JSON has none."""
    write_text(
        path, json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"
    )


def write_parquet(path: Path, table: pa.Table, *, durable: bool = True) -> None:
    """Replace `path` by a zstd-compressed Parquet file, in one step.

    durable: wait until it is on disk; False for parts of a run that a rerun would replace anyway.
    """
    with _replacing(path, durable=durable) as file:
        pq.write_table(table, file, compression="zstd")


def make_durable(folder: Path) -> None:
    """Wait until the files of a folder that somebody else has written are on disk."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())


def remove_leftovers(folder: Path) -> None:
    """Remove what writers left beside their files because they were killed. Nobody may be writing there."""
    for path in folder.rglob(f".*{LEFTOVER}"):
        path.unlink(missing_ok=True)


def sha256_of(path: Path) -> str:
    """Hex digest of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _replacing(path: Path, *, durable: bool = True) -> Iterator[IO[bytes]]:
    """A file beside `path` that takes its place at the end of the block, or goes if the block fails."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}{LEFTOVER}")
    try:
        with beside.open("wb") as file:
            yield file
            if durable:
                file.flush()
                os.fsync(file.fileno())
        _rename(beside, path, durable=durable)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def _rename(beside: Path, path: Path, *, durable: bool) -> None:
    """Rename, then flush the folder entry; a file system without folder handles skips the flush."""
    beside.replace(path)
    if not durable or not hasattr(os, "O_DIRECTORY"):
        return
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
