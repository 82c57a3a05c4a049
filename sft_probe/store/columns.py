"""The Parquet columns, read off the dataclasses of `schema.py`, so that there is one place to change them."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any, get_type_hints

import pyarrow as pa

from sft_probe.schema import Item, Measurement, RunKey

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_ARROW = {int: pa.int64(), float: pa.float64()}


def arrow_schema(*row_types: type) -> pa.Schema:
    """Columns of several dataclasses side by side; what is neither int nor float is text."""
    return pa.schema(
        [
            pa.field(f.name, _ARROW.get(hints[f.name], pa.string()))
            for row_type, hints in ((t, get_type_hints(t)) for t in row_types)
            for f in fields(row_type)
        ]
    )


MEASUREMENTS = arrow_schema(RunKey, Measurement)
ITEMS = arrow_schema(RunKey, Item)
TRAIN_LOG = pa.schema(
    [
        ("run", pa.string()),
        ("arm", pa.string()),
        ("seed", pa.int64()),
        ("step", pa.int64()),
        ("metric", pa.string()),
        ("value", pa.float64()),
    ]
)
SCHEMAS: Mapping[str, pa.Schema] = {"measurements": MEASUREMENTS, "items": ITEMS, "train_log": TRAIN_LOG}


def to_table(key: RunKey, rows: Sequence[Measurement] | Sequence[Item], schema: pa.Schema) -> pa.Table:
    """Rows of one probe at one step as a table; the key is repeated in front of each row."""
    own = {f.name for f in fields(RunKey)}
    columns = {
        name: [getattr(key, name)] * len(rows) if name in own else [getattr(row, name) for row in rows]
        for name in schema.names
    }
    return from_columns(columns, schema)


def from_columns(columns: Mapping[str, Iterable[Any]], schema: pa.Schema) -> pa.Table:
    """Columns as a table.

    NaN is stored as NULL, so that SQL aggregates leave undefined values out; pandas reads it back as NaN.
    Text that is not valid Unicode (lone surrogates) gets replacement characters.
    """
    arrays = [
        pa.array(map(_storable, columns[field.name]), type=field.type, from_pandas=True) for field in schema
    ]
    return pa.Table.from_arrays(arrays, schema=schema)


def _storable(value: Any) -> Any:
    return value.encode("utf-8", "replace").decode("utf-8") if isinstance(value, str) else value
