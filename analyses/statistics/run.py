"""Run the cells that are not there yet, one after the other, and write the page."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from time import perf_counter

from analyses.statistics import intervals, tests
from analyses.statistics.report import write_report
from analyses.statistics.simulate import Cell, Outcome, run


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0 when all cells are done, whatever they show."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--output-dir", type=Path, default=Path("reports/statistics"))
    parser.add_argument("--replicates", type=int, help="data sets per cell at most")
    parser.add_argument("--only", nargs="*", default=[""], help="functions whose name contains one of these")
    parser.add_argument("--fresh", action="store_true", help="run again what is kept")
    parser.add_argument("--page-only", action="store_true", help="write the page of what is kept")
    given = parser.parse_args(arguments)
    wanted = [cell for cell in all_cells() if any(part in cell.method for part in given.only)]
    if not given.page_only:
        simulate(wanted, given.output_dir / "cells.jsonl", given.replicates, fresh=given.fresh)
    done = kept(given.output_dir / "cells.jsonl").values()
    print(write_report(given.output_dir, done, len(all_cells())))
    return 0


def all_cells() -> list[Cell]:
    """Intervals, then tests."""
    return [*intervals.cells(), *tests.cells()]


def simulate(cells: Sequence[Cell], file: Path, replicates: int | None, *, fresh: bool) -> None:
    """Append a line per cell to `file`, as soon as it is done."""
    file.parent.mkdir(parents=True, exist_ok=True)
    done = {} if fresh else kept(file)
    for cell in cells:
        if (known := done.get(cell.key)) and known.replicates >= min(
            replicates or cell.replicates, cell.replicates
        ):
            continue
        started = perf_counter()
        outcome = run(cell, replicates)
        with file.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(asdict(outcome), ensure_ascii=False) + "\n")
        mark = "" if outcome.passed else "  missed"
        print(f"{outcome.rate:7.4f}{mark:8} {perf_counter() - started:6.1f} s  {cell.key}", flush=True)


def kept(file: Path) -> dict[str, Outcome]:
    """What the file holds, the last line of each cell, in the order of the cells that exist today."""
    lines: Iterator[str] = iter(file.read_text("utf-8").splitlines() if file.is_file() else ())
    found = [Outcome(**json.loads(line)) for line in lines]
    by_key = {f"{outcome.method} · {outcome.design}": outcome for outcome in found}
    return {cell.key: by_key[cell.key] for cell in all_cells() if cell.key in by_key}
