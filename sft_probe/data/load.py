"""Reading data sets from files, folders and the hub."""

from __future__ import annotations

import csv
import itertools
import json
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from sft_probe.data.examples import Dataset, Example
from sft_probe.data.formats import Where, choose
from sft_probe.errors import DataError, nearest

PLANTED = "planted:"
STRUCTURED = ("messages", "conversations", "choices", "meta", "prompt", "completion")

Row = Mapping[str, Any]
Numbered = tuple[int, Row]


class PlantedParts(NamedTuple):
    """A source inside the planted world: `planted:<task>/<split>`, split empty for `planted:replay`."""

    task: str
    split: str


def is_planted(source: str) -> bool:
    """Whether the source names a file of the planted world rather than a path."""
    return source.startswith(PLANTED)


def planted_parts(source: str) -> PlantedParts:
    """Task and split of a planted source. Raises: DataError if the task is missing."""
    task, _, split = source.removeprefix(PLANTED).partition("/")
    if not task:
        raise DataError(
            f"'{source}' names no task.", remedy="Write planted:<task>/<split> or planted:replay."
        )
    return PlantedParts(task, split)


def load_dataset(
    source: str,
    *,
    name: str,
    format: str = "auto",  # noqa: A002  (the key of the study file)
    limit: int | None = None,
    seed: int = 0,
) -> Dataset:
    """Read a data set, shuffle its rows by `seed` and keep the first `limit`.

    source: a JSONL, JSON, Parquet, CSV, TSV or text file; a folder written by `datasets`; or a hub id, with a
      split where there are several (`org/name:split`, `org/name:config:split`; "train" if not given).
    name: what the study calls it. format: a registered format, or "auto" to go by the fields.
    An example without an `id` of its own is called by its row number, so ids do not depend on the seed.
    Raises: DataError naming file, row and field.
    """
    examples = _examples(list(_rows(source)), source, format)
    random.Random(f"{seed}").shuffle(examples)  # a text seed is hashed with SHA-512, alike everywhere
    return Dataset(name, tuple(examples[:limit]), source)


def read_rows(rows: Any, *, name: str, limit: int | None = None) -> Dataset:
    """A data set of rows in memory, in their order: mappings, a `datasets.Dataset` or a pandas frame.

    Raises: DataError naming row and field.
    """
    given: Iterable[Any] = rows.to_dict("records") if hasattr(rows, "to_records") else rows
    kept = list(itertools.islice(enumerate(given, start=1), limit))
    numbered = [(number, _mapping(row, Path(name), number)) for number, row in kept]
    return Dataset(name, tuple(_examples(numbered, name, "auto")), "memory")


def _examples(rows: Sequence[Numbered], source: str, row_format: str) -> list[Example]:
    if not rows:
        raise DataError("the data set is empty.", file=source)
    read = choose(row_format, [row for _, row in rows], source)
    examples = [_read(read, row, Where(source, number)) for number, row in rows]
    _check_ids(examples, [number for number, _ in rows], source)
    return examples


def _read(read: Callable[[Row, Where], Example], row: Row, where: Where) -> Example:
    try:
        return read(row, where)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise where.error(f"the row does not have the shape of its format ({error!r}).") from error


def _check_ids(examples: Sequence[Example], numbers: Sequence[int], source: str) -> None:
    """Items are joined by id across steps and models, so an id may stand for one row only."""
    first: dict[str, int] = {}
    for example, number in zip(examples, numbers, strict=True):
        if (other := first.setdefault(example.id, number)) != number:
            raise DataError(
                f"the id '{example.id}' already stands for row {other}.",
                file=source,
                row=number,
                field="id",
                remedy="Make ids unique, or remove the field to use row numbers.",
            )


def _rows(source: str) -> Iterator[Numbered]:
    """Rows with their numbers, counted from 1."""
    path = Path(source)
    if path.is_dir():
        return _folder(source)
    if path.is_file():
        return _file(path)
    if path.suffix in READERS or path.is_absolute() or source.startswith("."):
        raise DataError("there is no such file or folder.", file=source, remedy=_beside(path))
    return _hub(source)


def _file(path: Path) -> Iterator[Numbered]:
    if path.suffix not in READERS:
        raise DataError(
            f"files ending in '{path.suffix}' are not read.", file=path, remedy=nearest("", READERS)
        )
    try:
        yield from READERS[path.suffix](path)
    except UnicodeDecodeError as error:
        raise DataError(
            f"byte {error.start} is not UTF-8 text.", file=path, remedy="Save the file as UTF-8."
        ) from error


def _jsonl(path: Path) -> Iterator[Numbered]:
    with path.open(encoding="utf-8-sig") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except json.JSONDecodeError as error:
                raise DataError(
                    f"the line is not JSON ({error.msg} at column {error.colno}).", file=path, row=number
                ) from error
            yield number, _mapping(row, path, number)


def _json(path: Path) -> Iterator[Numbered]:
    """An array of rows, or an object that holds one under `data`, `rows`, `samples` or `examples`."""
    text = path.read_text(encoding="utf-8-sig")
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        if error.msg == "Extra data":  # one object per line under the wrong name
            yield from _jsonl(path)
            return
        raise DataError(
            f"the file is not JSON ({error.msg} in line {error.lineno}, column {error.colno}).", file=path
        ) from error
    if isinstance(content, dict):
        keys = ("data", "rows", "samples", "examples")
        content = next((content[key] for key in keys if isinstance(content.get(key), list)), [content])
    if not isinstance(content, list):
        raise DataError("expected an array of rows.", file=path)
    for number, row in enumerate(content, start=1):
        yield number, _mapping(row, path, number)


def _csv(path: Path) -> Iterator[Numbered]:
    """Rows of a table with a header; cells of structured fields may hold JSON."""
    csv.field_size_limit(2**31 - 1)
    with path.open(encoding="utf-8-sig", newline="") as lines:
        table = csv.DictReader(lines, delimiter="\t" if path.suffix == ".tsv" else ",")
        for number, row in enumerate(table, start=1):
            if None in row:
                raise DataError("the row has more cells than the header.", file=path, row=number)
            yield number, {key: _cell(key, value, path, number) for key, value in row.items()}


def _cell(key: str, value: str | None, path: Path, number: int) -> Any:
    if key not in STRUCTURED or not value or value[0] not in "[{":
        return value
    try:
        return json.loads(value)
    except json.JSONDecodeError:
        if key in ("prompt", "completion"):  # plain text may begin with a bracket
            return value
        raise DataError("the cell is not JSON.", file=path, row=number, field=key) from None


def _parquet(path: Path) -> Iterator[Numbered]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        rows = pq.read_table(path).to_pylist()
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"the file is not Parquet ({str(error).splitlines()[0]}).", file=path) from error
    yield from enumerate(rows, start=1)


def _plain(path: Path) -> Iterator[Numbered]:
    """Documents of a text file, divided by `<|endoftext|>` if it has any, else by empty lines."""
    text = path.read_text(encoding="utf-8-sig")
    parts = text.split("<|endoftext|>" if "<|endoftext|>" in text else "\n\n")
    documents = (part.strip() for part in parts)
    yield from enumerate(({"text": document} for document in documents if document), start=1)


READERS: Mapping[str, Callable[[Path], Iterator[Numbered]]] = {
    ".jsonl": _jsonl,
    ".ndjson": _jsonl,
    ".json": _json,
    ".csv": _csv,
    ".tsv": _csv,
    ".parquet": _parquet,
    ".txt": _plain,
}


def _folder(source: str) -> Iterator[Numbered]:
    """A folder written by `save_to_disk`, or one of data files as the hub keeps them."""
    import datasets

    saved = any((Path(source) / name).is_file() for name in ("state.json", "dataset_dict.json"))
    try:
        content = datasets.load_from_disk(source) if saved else datasets.load_dataset(source)
    except Exception as error:  # the library raises many kinds
        raise DataError(
            f"the folder cannot be read as a data set ({_first_line(error)}).", file=source
        ) from error
    yield from _of_split(content, "", source)


def _hub(source: str) -> Iterator[Numbered]:
    import datasets

    repository, *rest = source.split(":")
    config, split = (rest[0] if len(rest) > 1 else None), (rest[-1] if rest else "")
    try:
        content = datasets.load_dataset(repository, config)
    except Exception as error:  # the library raises many kinds
        raise DataError(
            f"'{repository}' is no file or folder here, and the hub gives no such data set "
            f"({_first_line(error)}).",
            remedy="Check the name and the network, or give a local file.",
        ) from error
    yield from _of_split(content, split, source)


def _of_split(content: Any, split: str, source: str) -> Iterator[Numbered]:
    """Rows of one split; of the only one, or of "train", if none is asked for."""
    if isinstance(content, Mapping):
        wanted = split or ("train" if "train" in content else next(iter(content)))
        if wanted not in content:
            raise DataError(f"there is no split '{wanted}'.", file=source, remedy=nearest(wanted, content))
        content = content[wanted]
    yield from enumerate(content, start=1)


def _mapping(row: object, path: Path, number: int) -> Row:
    if not isinstance(row, Mapping):
        raise DataError("expected a mapping of fields.", file=path, row=number)
    return row


def _beside(path: Path) -> str | None:
    """The nearest name of a file in the same folder, as a remedy."""
    if not path.parent.is_dir():
        return f"The folder '{path.parent}' does not exist either."
    known = [p.name for p in path.parent.iterdir()][:500]
    remedy = nearest(path.name, known) if known else ""
    return remedy if remedy.startswith("Did") else None


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
