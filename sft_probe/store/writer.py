"""Fill one run folder: parts while the run goes on, one file per table at its end, the manifest last."""

from __future__ import annotations

import shutil
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from numbers import Real
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from sft_probe.schema import TRAINING, RunKey
from sft_probe.store.atomic import sha256_of, write_json, write_parquet, write_text
from sft_probe.store.columns import SCHEMAS, from_columns, to_table
from sft_probe.store.manifest import RunManifest
from sft_probe.store.migrations import MIGRATIONS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path
    from types import TracebackType

    from sft_probe.schema import Measurements


class RunWriter:
    """Fills one run folder. An append is a whole file at once; what `finish` writes survives a power cut."""

    def __init__(self, folder: Path, config: Mapping[str, Any], environment: Mapping[str, Any]) -> None:
        self.folder = folder
        self.seconds: dict[str, float] = {}
        self._config, self._environment = dict(config), dict(environment)
        self._facts: dict[str, Any] = {"device": str(environment.get("device", ""))}
        self._started = datetime.now(UTC).isoformat(timespec="seconds")
        self._steps: set[int] = set()
        self._log: list[tuple[int, str, float]] = []
        write_text(folder / "config.yaml", yaml.safe_dump(self._config, sort_keys=False, allow_unicode=True))
        write_json(folder / "environment.json", self._environment)

    def __enter__(self) -> RunWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing to close: a run that was left early has no manifest and counts as unfinished."""

    def append(self, step: int, probe: str, measurements: Measurements) -> None:
        """Keep what one probe measured at one step; a second append for the same pair replaces the first."""
        key = RunKey(
            run=self.folder.name, arm=self._config["arm"], seed=self._config["seed"], step=step, probe=probe
        )
        for name, rows in (("measurements", measurements.rows), ("items", measurements.items)):
            write_parquet(self._part(name, step, probe), to_table(key, rows, SCHEMAS[name]), durable=False)
        if probe != TRAINING:  # training is followed between looks, too
            self._steps.add(step)

    def log(self, step: int, values: Mapping[str, Any]) -> None:
        """Keep what the trainer logged; values that are not numbers are left out."""
        self._log += [(step, name, float(value)) for name, value in values.items() if isinstance(value, Real)]

    def note(
        self,
        *,
        device: str = "",
        trainable_parameters: int = 0,
        total_parameters: int = 0,
        token_budget: int = 0,
    ) -> None:
        """Keep facts about the model for the manifest; an empty value leaves what was noted before."""
        facts = {
            "device": device,
            "trainable_parameters": trainable_parameters,
            "total_parameters": total_parameters,
            "token_budget": token_budget,
        }
        self._facts |= {name: value for name, value in facts.items() if value}

    def spent(self, activity: str, seconds: float) -> None:
        """Add wall seconds to an activity: "training" or the name of a probe."""
        self.seconds[activity] = self.seconds.get(activity, 0.0) + seconds

    @contextmanager
    def timing(self, activity: str) -> Iterator[None]:
        """Add the wall seconds of a block to an activity."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.spent(activity, time.perf_counter() - start)

    def finish(self) -> RunManifest:
        """Join the parts, then write the manifest: from here on the run is finished."""
        rows = {name: self._join(name) for name in ("measurements", "items")}
        write_parquet(self.folder / "train_log.parquet", self._log_table())
        shutil.rmtree(self.folder / "parts", ignore_errors=True)
        names = ("config.yaml", "environment.json", *(f"{name}.parquet" for name in SCHEMAS))
        manifest = RunManifest(
            run=self.folder.name,
            arm=self._config["arm"],
            seed=self._config["seed"],
            digest=self._config["digest"],
            label=str(self._config.get("label", "") or self._config["arm"]),
            started=self._started,
            seconds={name: round(value, 3) for name, value in self.seconds.items()},
            steps=tuple(sorted(self._steps)),
            versions={name: str(v) for name, v in self._environment.get("versions", {}).items()},
            rows=rows | {"train_log": len(self._log)},
            files={name: sha256_of(self.folder / name) for name in names},
            migrations=tuple(m.name for m in MIGRATIONS),
            **self._facts,
        )
        manifest.save(self.folder)
        return manifest

    def _part(self, table: str, step: int, probe: str) -> Path:
        return self.folder / "parts" / table / f"{step:09d}.{probe}.parquet"

    def _join(self, table: str) -> int:
        """Parts to one file, in the order of steps and probes. Returns the number of rows."""
        schema = SCHEMAS[table]
        parts = sorted((self.folder / "parts" / table).glob("*.parquet"))
        tables = [pq.read_table(part, schema=schema) for part in parts]
        whole = pa.concat_tables(tables) if tables else schema.empty_table()
        write_parquet(self.folder / f"{table}.parquet", whole)
        return int(whole.num_rows)

    def _log_table(self) -> pa.Table:
        count = len(self._log)
        steps, names, values = zip(*self._log, strict=True) if self._log else ((), (), ())
        columns = {
            "run": [self.folder.name] * count,
            "arm": [self._config["arm"]] * count,
            "seed": [self._config["seed"]] * count,
            "step": steps,
            "metric": names,
            "value": values,
        }
        return from_columns(columns, SCHEMAS["train_log"])
