"""Create, append to and read runs. A run is a folder; its manifest is written last and makes it finished.

<output_dir>/runs/<run_id>/config.yaml, environment.json, measurements.parquet, items.parquet,
                           train_log.parquet, manifest.json
<output_dir>/runs/<run_id>/failure.json   alone, if the run failed
<output_dir>/runs/<run_id>/parts/      one file per table, step and probe while the run goes on
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from sft_probe.errors import DamagedRun, StoreError
from sft_probe.store.columns import SCHEMAS
from sft_probe.store.failures import FAILURE, Failure, read_failure
from sft_probe.store.manifest import FINISHED, MANIFEST, RunManifest, read_manifest
from sft_probe.store.migrations import migrate
from sft_probe.store.writer import RunWriter

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Mapping, Sequence
    from pathlib import Path

    import pandas as pd

__all__ = ["BASE", "BETWEEN", "RunStore", "RunWriter"]

BETWEEN = "between"  # arm and run id of what was measured on several runs at once
RECURRING = ("run", "arm", "probe", "metric", "item", "dataset", "stratum", "cluster", "target", "prompt")
BASE = "base"  # arm and run id of the untouched base model, which has step 0 only


class RunStore:
    """The runs of one study.

    output_dir: made on the first write; a folder without runs is an empty store.
    """

    def __init__(self, output_dir: Path) -> None:
        self.output_dir = output_dir
        self.folder = output_dir / "runs"

    def open_run(
        self, run_id: str, *, config: Mapping[str, Any], environment: Mapping[str, Any]
    ) -> RunWriter:
        """Start a run; whatever stood under this id, finished or not, is removed.

        config: everything that decides the run's numbers; needs `arm`, `seed` and `digest`, may have `label`.
        environment: versions (under `versions`), device, hashes.  Both are kept with the run.
        Use it as a context manager; without a call of `finish` the run stays unfinished.
        Raises: StoreError if the id is no folder name or `config` lacks a key.
        """
        if not run_id or run_id.startswith(".") or {"/", "\\"} & set(run_id):
            raise StoreError(f"'{run_id}' cannot be a run id, because it is not a folder name.")
        if missing := [key for key in ("arm", "seed", "digest") if key not in config]:
            raise StoreError(f"the config of run '{run_id}' lacks {', '.join(missing)}.")
        return RunWriter(self._emptied(self.folder / run_id), config, environment)

    def finished(self, run_id: str, digest: str, note: Callable[[str], None] = lambda _: None) -> bool:
        """True if this run stands complete and undamaged under the same digest: nothing to redo.

        note: told, in a sentence that names the file, what is damaged in a run that must be done again.
        Raises: StoreError if a newer version wrote the run.
        """
        folder = self.folder / run_id
        try:
            manifest = self._read(folder)
            if manifest is None or manifest.status != FINISHED or manifest.digest != digest:
                return False
            manifest.verify(folder)
        except DamagedRun as error:
            note(f"{run_id} is done again. {error.file}: {error.message}")
            return False
        return True

    def fail(self, failure: Failure) -> None:
        """Keep why a run failed, in place of what there is of it.

        Raises: OSError if not even that can be written, as on a full disk.
        """
        failure.save(self._emptied(self.folder / failure.run))

    def failure(self, run_id: str) -> Failure | None:
        """Why a run failed; None if it did not."""
        return read_failure(self.folder / run_id)

    def failures(self) -> tuple[Failure, ...]:
        """All failed runs, by run id."""
        return tuple(found for folder in self._folders() if (found := read_failure(folder)) is not None)

    def runs(self) -> tuple[RunManifest, ...]:
        """Manifests of all finished runs: the base first, then by run id."""
        found = (self._read(folder) for folder in self._folders())
        finished = [m for m in found if m is not None and m.status == FINISHED]
        return tuple(sorted(finished, key=lambda m: (m.arm != BASE, m.run)))

    def unfinished(self) -> tuple[str, ...]:
        """Ids of runs that were begun and neither finished nor failed."""
        ended = (MANIFEST, FAILURE)
        return tuple(f.name for f in self._folders() if not any((f / name).is_file() for name in ended))

    def so_far(self, run_id: str) -> pd.DataFrame:
        """What an unfinished run has measured until now, columns `schema.MEASUREMENT_COLUMNS`."""
        schema, tables = SCHEMAS["measurements"], []
        for part in sorted((self.folder / run_id / "parts" / "measurements").glob("*.parquet")):
            try:
                tables.append(pq.read_table(part, schema=schema))
            except (OSError, pa.ArrowInvalid):  # the run finished or began anew while it was read
                continue
        frame: pd.DataFrame = pa.concat_tables([schema.empty_table(), *tables]).to_pandas()
        return frame

    def config(self, run_id: str) -> dict[str, Any]:
        """The config a run was opened with. Raises: StoreError if there is no such run."""
        path = self.folder / run_id / "config.yaml"
        if not path.is_file():
            raise StoreError(f"there is no run '{run_id}'.", file=self.folder)
        return dict(yaml.safe_load(path.read_text(encoding="utf-8")))

    def files(self, table: str, runs: Container[str] | None = None) -> tuple[Path, ...]:
        """The Parquet files of one table over all finished runs, each checked against its hash.

        runs: ids of those to read; all if not given.
        Raises: StoreError, naming the file, if one is damaged or missing.
        """
        paths = []
        for manifest in self.runs():
            if runs is not None and manifest.run not in runs:
                continue
            manifest.verify(self.folder / manifest.run)
            paths.append(self.folder / manifest.run / f"{table}.parquet")
        return tuple(paths)

    def measurements(self, runs: Container[str] | None = None) -> pd.DataFrame:
        """All measurements of the finished runs, or of these, columns `schema.MEASUREMENT_COLUMNS`."""
        return self._frame("measurements", runs)

    def items(self, runs: Container[str] | None = None, *, coded: bool = False) -> pd.DataFrame:
        """All items of the finished runs, or of these, columns `schema.ITEM_COLUMNS`.

        coded: text comes as categories, in order of their names where it recurs: many times faster to select,
        join and group when there are millions of rows.
        """
        frame = self._frame("items", runs, (*RECURRING, "prediction", "by_token") if coded else ())
        for name in RECURRING if coded else ():
            frame[name] = frame[name].cat.reorder_categories(sorted(frame[name].cat.categories))
        return frame

    def train_log(self) -> pd.DataFrame:
        """What the trainer logged: run, arm, seed, step, metric, value."""
        return self._frame("train_log")

    def _frame(
        self, table: str, runs: Container[str] | None = None, coded: Sequence[str] = ()
    ) -> pd.DataFrame:
        schema = SCHEMAS[table]
        for name in coded:
            place = schema.get_field_index(name)
            schema = schema.set(place, pa.field(name, pa.dictionary(pa.int32(), pa.string())))
        read = [pq.read_table(path, read_dictionary=list(coded)) for path in self.files(table, runs)]
        tables = [schema.empty_table(), *(one.select(schema.names).cast(schema) for one in read)]
        frame: pd.DataFrame = pa.concat_tables(tables).unify_dictionaries().to_pandas(split_blocks=True)
        return frame

    def _folders(self) -> tuple[Path, ...]:
        if not self.folder.is_dir():
            return ()
        return tuple(f for f in sorted(self.folder.iterdir()) if f.is_dir() and not f.name.startswith("."))

    @staticmethod
    def _read(folder: Path) -> RunManifest | None:
        migrate(folder)
        return read_manifest(folder)

    @staticmethod
    def _emptied(folder: Path) -> Path:
        """Remove the manifest first: a removal cut short then leaves an unfinished run, not a damaged one."""
        (folder / MANIFEST).unlink(missing_ok=True)
        if folder.exists():
            shutil.rmtree(folder)
        folder.mkdir(parents=True)
        return folder
