"""SQL over a store: DuckDB views `measurements`, `items`, `train_log` and `runs` over the finished runs."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import duckdb
import pandas as pd

from sft_probe.errors import StoreError
from sft_probe.store.columns import SCHEMAS
from sft_probe.store.runs import RunStore

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sft_probe.store.manifest import RunManifest

_RUN_COLUMNS = (
    *("run", "arm", "label", "seed", "digest", "status", "started", "device"),
    *("token_budget", "trainable_parameters", "total_parameters", "steps", "seconds"),
)


def query(output_dir: Path, sql: str) -> pd.DataFrame:
    """The answer to one SQL statement. `runs.seconds` is the total, `runs.steps` a list.

    Raises: StoreError if there is no store, a file is damaged, or the statement fails.
    """
    if not (output_dir / "runs").is_dir():
        raise StoreError("there are no runs in this folder.", file=output_dir, remedy="Run a study first.")
    with connect(output_dir) as connection:
        try:
            return connection.execute(sql).df()
        except duckdb.Error as error:
            views = ", ".join((*SCHEMAS, "runs"))
            raise StoreError(f"the query failed: {error}", remedy=f"Views: {views}.") from error


def connect(output_dir: Path) -> duckdb.DuckDBPyConnection:
    """An in-memory connection with the four views; the Parquet files are read lazily. Close it after use."""
    store = RunStore(output_dir)
    connection = duckdb.connect()
    connection.execute("SET autoinstall_known_extensions = false")  # nothing is ever downloaded
    for name, schema in SCHEMAS.items():
        if paths := [str(path) for path in store.files(name)]:
            connection.read_parquet(paths).create_view(name)
        else:
            connection.register(name, schema.empty_table())
    connection.register("runs", _run_table(store.runs()))
    return connection


def _run_table(runs: Sequence[RunManifest]) -> pd.DataFrame:
    rows = [{**asdict(run), "seconds": sum(run.seconds.values())} for run in runs]
    return pd.DataFrame(rows, columns=_RUN_COLUMNS)
