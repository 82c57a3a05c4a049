"""How large a report is and how long it takes, up to 30 runs looked at 12 times with 5,000 items."""

from __future__ import annotations

import time
from itertools import pairwise
from pathlib import Path

from analyses.performance.bench import Result, Row, Settings, Timing, at_most
from analyses.performance.report_store import Size, write_store
from sft_probe.report import build_report

ITEMS = (1250, 2500, 5000)


def run(settings: Settings) -> Result:
    """One build per size: it is seconds long, and what it reads was just written."""
    built = {items: build(settings.work / str(items), Size(items=items)) for items in ITEMS}
    whole, (seconds, size) = Size(), built[ITEMS[-1]]
    case = f"{whole.runs} runs x {whole.steps} steps x {whole.items:,} items"
    rows = [
        Row(case=f"{case}: page", value=size / 1e6, unit="MB", goal=at_most(10)),
        Row(
            case=f"{case}: built",
            value=seconds.seconds,
            unit="s",
            goal=at_most(20),
            process_value=seconds.process_seconds,
        ),
    ]
    for few, many in pairwise(ITEMS):
        rows.append(
            Row(
                case=f"{few:,} to {many:,} items",
                value=built[many][0].seconds / built[few][0].seconds,
                unit="times as long",
                goal=at_most(2.2),
                process_value=built[many][0].process_seconds / built[few][0].process_seconds,
                ours=built[many][0],
                other=built[few][0],
            )
        )
    return Result(
        name="report_size",
        question="How large is the page of a large study, and how long does it take to build?",
        goal="page under 10 MB, built in under 20 s, at most linear beyond",
        rows=tuple(rows),
        setting={
            "store": "10 arms x 3 seeds; half of the items of the task, with two metrics, half of benchmarks",
            "model": "24 layers in the maps of drift and of weight change",
        },
        notes=(
            "Items are sampled for the page and complete in Parquet; the page says how many of how many.",
            "Where the time goes, on processors: drawing 51 panels 8 s, contrasts, tables and sampling 11 s, "
            "reading 2.7 million rows 4 s. Drawing panels in several processes would close the gap.",
        ),
    )


def build(folder: Path, size: Size) -> tuple[Timing, int]:
    """Write a store, then build its report: seconds of the building, and bytes of the page."""
    write_store(folder, size)
    start, used = time.perf_counter(), time.process_time()
    page = build_report(folder).html
    seconds = Timing((time.perf_counter() - start,), (time.process_time() - used,))
    return seconds, page.stat().st_size
