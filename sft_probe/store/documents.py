"""What a study keeps once, beside its runs: the study, the environment, the audit, what its probes say."""

from __future__ import annotations

import json
from dataclasses import asdict, is_dataclass
from typing import TYPE_CHECKING, Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from sft_probe.errors import StoreError
from sft_probe.store.atomic import write_json, write_parquet, write_text
from sft_probe.store.columns import from_columns

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    import pandas as pd

    from sft_probe.data.examples import Example

Document = Literal["environment", "audit", "probes"]
STUDY = "study.yaml"
ROWS = "train_rows.parquet"
MOST_ROWS = 20_000
_ROWS = pa.schema([("id", pa.string()), ("prompt", pa.string()), ("target", pa.string())])


def write_study(output_dir: Path, text: str) -> None:
    """Keep the resolved study as YAML text."""
    write_text(output_dir / STUDY, text)


def read_study(output_dir: Path) -> str:
    """The study's YAML text, empty if none was kept."""
    path = output_dir / STUDY
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def write_environment(output_dir: Path, environment: Mapping[str, Any]) -> None:
    """Keep versions, device and hashes of data, base and tokenizer."""
    write_json(output_dir / "environment.json", dict(environment))


def write_audit(output_dir: Path, findings: Iterable[Any]) -> None:
    """Keep the findings of the data audit: dataclasses or mappings with code, severity and message."""
    write_json(output_dir / "audit.json", [_plain(finding) for finding in findings])


def write_probes(
    output_dir: Path, abouts: Mapping[str, Any], not_applicable: Mapping[str, str] | None = None
) -> None:
    """Keep what each probe says of itself, by its name, so that a report needs no probe to be imported.

    not_applicable: why a probe could not measure, by its name.
    """
    reasons = not_applicable or {}
    notes = {name: {"not_applicable": reasons.get(name, "")} for name in abouts}
    write_json(
        output_dir / "probes.json", {name: _plain(about) | notes[name] for name, about in abouts.items()}
    )


def write_rows(output_dir: Path, examples: Sequence[Example]) -> None:
    """Keep the training rows as text, before any arm's edits; of very many, `MOST_ROWS` evenly spaced."""
    every = -(-len(examples) // MOST_ROWS) or 1
    kept = examples[::every]
    columns = {name: [getattr(example, name) for example in kept] for name in _ROWS.names}
    write_parquet(output_dir / ROWS, from_columns(columns, _ROWS))


def read_rows(output_dir: Path) -> pd.DataFrame:
    """The kept training rows: id, prompt, target. Empty if none were. Raises: StoreError if damaged."""
    path = output_dir / ROWS
    if not path.is_file():
        frame: pd.DataFrame = _ROWS.empty_table().to_pandas()
        return frame
    try:
        frame = pq.read_table(path, schema=_ROWS).to_pandas()
    except (OSError, pa.ArrowInvalid) as error:
        raise StoreError(f"not valid Parquet: {error}.", file=path, remedy="Run the study again.") from error
    return frame


def write_edits(run: Path, changes: Iterable[Mapping[str, str]]) -> None:
    """Keep the edit log of a run: one JSON line per changed row, with edit, example, what, before, after."""
    lines = (json.dumps(dict(change), ensure_ascii=False) for change in changes)
    write_text(run / "edits.jsonl", "\n".join(lines) + "\n")


def read_document(output_dir: Path, name: Document) -> Any:
    """A kept document, None if there is none. Raises: StoreError if it is not JSON."""
    path = output_dir / f"{name}.json"
    if not path.is_file():
        return None
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise StoreError(f"not valid JSON: {error}.", file=path, remedy="Run the study again.") from error


def _plain(value: Any) -> dict[str, Any]:
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else dict(value)
