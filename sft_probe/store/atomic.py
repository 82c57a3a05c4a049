"""Files that are either whole or absent: write beside, flush to disk, rename into place."""

from __future__ import annotations

import hashlib
import json
import os
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa


def write_bytes(path: Path, content: bytes) -> None:
    """Replace `path` by `content` in one step; a reader sees the old file or the new one, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with beside.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    _rename(beside, path)


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
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with beside.open("wb") as file:
        pq.write_table(table, file, compression="zstd")
        if durable:
            file.flush()
            os.fsync(file.fileno())
    _rename(beside, path, durable=durable)


def sha256_of(path: Path) -> str:
    """Hex digest of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _rename(beside: Path, path: Path, *, durable: bool = True) -> None:
    """Rename, then flush the folder entry; a file system without folder handles skips the flush."""
    beside.replace(path)
    if not durable or not hasattr(os, "O_DIRECTORY"):
        return
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
