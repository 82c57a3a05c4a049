"""Ordered, named changes of stored runs; each is applied once, on a copy that then takes the run's place.

A change of `schema.py` raises `SCHEMA_VERSION` by one and appends one `Migration` here.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from sft_probe.errors import StoreError
from sft_probe.store.atomic import sha256_of, write_json, write_parquet
from sft_probe.store.manifest import MANIFEST, read_raw

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Migration:
    """name: recorded in the manifest, never reused.  version: the schema version it leads to.

    change: rewrites tables in the folder it is given; manifest and hashes are brought up to date after it.
    """

    name: str
    version: int
    change: Callable[[Path], None]


def _items_by_token(folder: Path) -> None:
    """Items have values by token; older ones have none."""
    path = folder / "items.parquet"
    items = pq.read_table(path)
    write_parquet(path, items.append_column("by_token", pa.array([""] * items.num_rows, pa.string())))


MIGRATIONS: tuple[Migration, ...] = (Migration("items_by_token", 2, _items_by_token),)


def pending(folder: Path, migrations: Sequence[Migration] = MIGRATIONS) -> tuple[Migration, ...]:
    """The migrations a finished run has not seen, in order; none for an unfinished run."""
    path = folder / MANIFEST
    if not path.is_file():
        return ()
    applied = set(read_raw(path).get("migrations", ()))
    return tuple(m for m in migrations if m.name not in applied)


def migrate(folder: Path, migrations: Sequence[Migration] = MIGRATIONS) -> tuple[str, ...]:
    """Bring a run folder up to date. Returns the names that were applied; a second call applies none.

    Raises: StoreError, naming the migration that failed; the run is then as it was before.
    """
    todo = pending(folder, migrations)
    if not todo:
        return ()
    copy = folder.with_name(f".{folder.name}.migrating")
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(folder, copy)
    for migration in todo:
        _apply(migration, copy, folder)
    old = folder.with_name(f".{folder.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    folder.rename(old)
    copy.rename(folder)
    shutil.rmtree(old)
    return tuple(m.name for m in todo)


def _apply(migration: Migration, copy: Path, folder: Path) -> None:
    try:
        migration.change(copy)
    except Exception as error:
        shutil.rmtree(copy, ignore_errors=True)
        raise StoreError(f"migration '{migration.name}' failed: {error}.", file=folder) from error
    raw = read_raw(copy / MANIFEST)
    raw["migrations"] = [*raw.get("migrations", ()), migration.name]
    raw["schema_version"] = migration.version
    raw["files"] = {name: sha256_of(copy / name) for name in raw["files"] if (copy / name).is_file()}
    write_json(copy / MANIFEST, raw)
