"""Tables as data: what the page prints, what a click sorts by, and what the CSV holds."""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from io import StringIO
from typing import TYPE_CHECKING

from sft_probe.report.numbers import DASH, Kind, Value, interval, number, spread_text

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """text: as printed.  limits: the interval as printed.  why: the reason for a dash.

    value: sorts, and goes to the CSV with low and high.  tone: "good", "bad" or "moved" where that is shown.
    """

    text: str
    value: float | str
    limits: str = ""
    why: str = ""
    low: float = math.nan
    high: float = math.nan
    tone: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """key: in the CSV.  title: on the page.  interval: the CSV gets `<key>_low` and `<key>_high` too."""

    key: str
    title: str
    numeric: bool = True
    interval: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table under a figure. name: of its CSV file."""

    name: str
    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]

    def csv(self) -> str:
        """All numbers at full precision; undefined is an empty field."""
        buffer = StringIO()
        writer = csv.writer(buffer, lineterminator="\n")
        writer.writerow(
            name
            for column in self.columns
            for name in (column.key, f"{column.key}_low", f"{column.key}_high")[: 3 if column.interval else 1]
        )
        for row in self.rows:
            writer.writerow(
                value
                for column, cell in zip(self.columns, row, strict=True)
                for value in _raw(cell)[: 3 if column.interval else 1]
            )
        return buffer.getvalue()

    def records(self) -> list[dict[str, float | str | None]]:
        """The same numbers for JSON; undefined is null."""
        lines = list(csv.reader(StringIO(self.csv())))
        typed = [[_typed(text) for text in line] for line in lines[1:]]
        return [dict(zip(lines[0], line, strict=True)) for line in typed]


def text(value: str) -> Cell:
    """A cell of words."""
    return Cell(text=value, value=value)


def count(value: float) -> Cell:
    """A cell with a whole number."""
    return Cell(text=f"{value:,.0f}" if math.isfinite(value) else DASH, value=value)


def amount(value: Value | float, kind: Kind = "plain", *, to: str = "to", why: str = "") -> Cell:
    """A cell with a number and, where there is one, its interval."""
    value = value if isinstance(value, Value) else Value(value)
    undefined = not math.isfinite(value.value)
    return Cell(
        text=number(value.value, kind),
        value=value.value,
        limits=interval(value, kind, to),
        why=why if undefined else "",
        low=value.low,
        high=value.high,
    )


def printed(shown: str, value: float) -> Cell:
    """A cell with a number that is printed in its own way."""
    return Cell(text=shown, value=value)


def spread(values: Iterable[float], kind: Kind = "plain") -> Cell:
    """The values of single seeds, smallest first."""
    known = [value for value in values if math.isfinite(value)]
    return Cell(text=spread_text(known, kind) or DASH, value=max(known) - min(known) if known else math.nan)


def _raw(cell: Cell) -> tuple[str, str, str]:
    return _field(cell.value), _field(cell.low), _field(cell.high)


def _field(value: float | str) -> str:
    if isinstance(value, str):
        return f"'{value}" if value[:1] in ("=", "+", "-", "@") else value  # no formula in a spreadsheet
    return f"{value:.10g}" if math.isfinite(value) else ""


def _typed(field: str) -> float | str | None:
    if field == "":
        return None
    try:
        return float(field)
    except ValueError:
        return field
