from __future__ import annotations

import pyarrow as pa

from sft_probe.schema import ITEM_COLUMNS, MEASUREMENT_COLUMNS
from sft_probe.store.columns import ITEMS, MEASUREMENTS


def test_columns_are_those_of_the_schema() -> None:
    assert tuple(MEASUREMENTS.names) == MEASUREMENT_COLUMNS
    assert tuple(ITEMS.names) == ITEM_COLUMNS


def test_types_follow_the_annotations() -> None:
    assert MEASUREMENTS.field("value").type == pa.float64()
    assert MEASUREMENTS.field("layer").type == pa.int64()
    assert MEASUREMENTS.field("better").type == pa.string()
    assert ITEMS.field("prediction").type == pa.string()
