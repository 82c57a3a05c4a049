"""The manifest of a run: what it is, what it cost, and the hash of every file. Written last."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any

from sft_probe.errors import DamagedRun, StoreError
from sft_probe.schema import SCHEMA_VERSION
from sft_probe.store.atomic import sha256_of, write_json

if TYPE_CHECKING:
    from pathlib import Path

MANIFEST = "manifest.json"
FINISHED = "finished"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunManifest:
    """What is known of a finished run without opening its tables.

    digest: of everything that decides its numbers; a rerun with another digest replaces the run.
    started: ISO 8601, UTC.  seconds: wall time by activity ("training", and each probe by name).
    token_budget: tokens per forward pass of the last look; smaller than asked where memory ran out.
    rows: number of rows by table.  files: sha256 by file name.  migrations: names of those applied.
    """

    run: str
    arm: str
    seed: int
    digest: str
    label: str = ""
    status: str = FINISHED
    started: str = ""
    seconds: dict[str, float] = field(default_factory=dict)
    device: str = ""
    token_budget: int = 0
    trainable_parameters: int = 0
    total_parameters: int = 0
    steps: tuple[int, ...] = ()
    versions: dict[str, str] = field(default_factory=dict)
    rows: dict[str, int] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    schema_version: int = SCHEMA_VERSION
    migrations: tuple[str, ...] = ()

    def save(self, folder: Path) -> None:
        """Write it, in one step."""
        write_json(folder / MANIFEST, asdict(self))

    def verify(self, folder: Path) -> None:
        """Raises: DamagedRun that names the first file whose content is not what was written."""
        for name, expected in self.files.items():
            path = folder / name
            if not path.is_file():
                raise DamagedRun("the file is missing from a finished run.", file=path, remedy=_REDO)
            if sha256_of(path) != expected:
                raise DamagedRun("the file is damaged: its sha256 changed.", file=path, remedy=_REDO)


_REDO = "Run the study again, and it is measured anew; or remove the run's folder."


def read_manifest(folder: Path) -> RunManifest | None:
    """The manifest of a run folder, or None if the run is unfinished.

    Raises: DamagedRun if the manifest cannot be read, StoreError if a newer version wrote it.
    """
    path = folder / MANIFEST
    if not path.is_file():
        return None
    raw = read_raw(path)
    if (version := raw.get("schema_version", 0)) > SCHEMA_VERSION:
        raise StoreError(
            f"the run has schema version {version}, this program reads up to {SCHEMA_VERSION}.",
            file=path,
            remedy="Update sft-probe.",
        )
    known = {f.name for f in fields(RunManifest)}
    try:
        manifest = RunManifest(**{name: value for name, value in raw.items() if name in known})
    except TypeError as error:
        raise DamagedRun(f"the manifest is incomplete: {error}.", file=path, remedy=_REDO) from error
    return _with_tuples(manifest)


def read_raw(path: Path) -> dict[str, Any]:
    """A manifest as it stands in its file. Raises: DamagedRun if it is no JSON object."""
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DamagedRun(f"the manifest cannot be read: {error}.", file=path, remedy=_REDO) from error
    if not isinstance(raw, dict):
        raise DamagedRun("the manifest is not a JSON object.", file=path, remedy=_REDO)
    return raw


def _with_tuples(manifest: RunManifest) -> RunManifest:
    values = {f.name: getattr(manifest, f.name) for f in fields(manifest)}
    return RunManifest(**{**values, "steps": tuple(manifest.steps), "migrations": tuple(manifest.migrations)})
