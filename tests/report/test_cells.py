from __future__ import annotations

import csv
import math
from io import StringIO

from sft_probe.report import cells
from sft_probe.report.cells import Column, Table
from sft_probe.report.numbers import Value

TABLE = Table(
    name="t",
    caption="A table",
    columns=(
        Column(key="arm", title="Arm", numeric=False),
        Column(key="change", title="Change", interval=True),
        Column(key="n", title="Items"),
    ),
    rows=(
        (
            cells.text("full, 1e-4"),
            cells.amount(Value(0.123456789, 0.1, 0.2), "points"),
            cells.count(1200),
        ),
        (cells.text("=cmd()"), cells.amount(math.nan, why="one seed"), cells.count(math.nan)),
    ),
)


def test_the_csv_has_full_precision_limits_and_empty_fields() -> None:
    rows = list(csv.DictReader(StringIO(TABLE.csv())))
    assert rows[0] == {
        "arm": "full, 1e-4",
        "change": "0.123456789",
        "change_low": "0.1",
        "change_high": "0.2",
        "n": "1200",
    }
    assert rows[1] == {"arm": "'=cmd()", "change": "", "change_low": "", "change_high": "", "n": ""}


def test_json_records_have_numbers_and_null() -> None:
    first, second = TABLE.records()
    assert first["change"] == 0.123456789
    assert second["change"] is None


def test_a_dash_has_its_reason() -> None:
    cell = cells.amount(math.nan, why="one seed")
    assert (cell.text, cell.why) == ("\u2013", "one seed")
    assert cells.amount(1.0, why="one seed").why == ""


def test_single_seeds_are_listed_and_sorted_by_their_range() -> None:
    cell = cells.spread([0.5, 0.25, math.nan], "share")
    assert cell.text == "25.0\u202f% · 50.0\u202f%"
    assert cell.value == 0.25
