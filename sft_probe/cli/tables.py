"""Plain tables on stdout."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

WIDTH_OF_A_FILE = 200  # columns where stdout is no terminal


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]], title: str | None = None) -> None:
    """Print rows under their columns; numbers stand right, undefined ones are a dash."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    if not console.is_terminal:
        console = Console(width=WIDTH_OF_A_FILE)
    kept = [list(row) for row in rows]
    table = Table(box=SIMPLE_HEAD, title=title, title_justify="left")
    for index, column in enumerate(columns):
        numbers = any(isinstance(row[index], int | float) for row in kept)
        table.add_column(column, justify="right" if numbers else "left", overflow="fold")
    for row in kept:
        table.add_row(*(Text(shown(cell)) for cell in row))
    console.print(table)


def shown(cell: object) -> str:
    """A cell as text: four significant digits, thousands apart, a dash for what is undefined."""
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return "—"
    if isinstance(cell, bool) or not isinstance(cell, int | float):
        return str(cell)
    return f"{cell:,.0f}" if float(cell).is_integer() else f"{cell:.4g}"
