"""The page and its figure from what the cells showed."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import asdict
from itertools import groupby
from math import isnan
from pathlib import Path

from analyses.statistics.edges import edges
from analyses.statistics.simulate import Outcome

HEAD = """# Do intervals cover, and do tests keep their size?

Question, designs and pass rule, written before the run:
[`analyses/statistics`](../../analyses/statistics/README.md). Command: `python -m analyses.statistics`.
Every cell stands in `cells.csv`.

A 95 % interval passes a cell if it covers the truth in 93 to 97 % of the data sets, a 5 % test if it rejects
a true null in at most 6 %. *Error* is one Monte-Carlo standard error. *Silent* is the share of data sets
without limits (no variation, no change shown); coverage is among the others. *Width* is the median width.
"""


def write_report(output_dir: Path, outcomes: Iterable[Outcome], total: int) -> Path:
    """`README.md`, `cells.csv` and `coverage.svg` in `output_dir`; total: of cells that there are."""
    outcomes = list(outcomes)
    sides = {kind: [outcome for outcome in outcomes if outcome.kind == kind] for kind in ("interval", "test")}
    parts = [HEAD, f"{len(outcomes)} of {total} cells are done.\n", _overview(outcomes)]
    if outcomes:
        draw(output_dir / "coverage.svg", sides)
        parts.append("![Coverage of every interval and size of every test](coverage.svg)\n")
    parts += ["## Missed\n", _missed(outcomes)]
    for kind, title in (("interval", "Intervals"), ("test", "Tests")):
        parts += [f"## {title}\n", *(_section(name, group) for name, group in _by_method(sides[kind]))]
    parts += ["## Next to no data\n", _edges()]
    page = output_dir / "README.md"
    page.write_text("\n".join(parts), "utf-8")
    with (output_dir / "cells.csv").open("w", encoding="utf-8", newline="") as file:
        rows = [{**asdict(outcome), "passed": outcome.passed} for outcome in outcomes]
        writer = csv.DictWriter(file, fieldnames=list(rows[0]) if rows else ["method"])
        writer.writeheader()
        writer.writerows(rows)
    return page


def _by_method(outcomes: list[Outcome]) -> list[tuple[str, list[Outcome]]]:
    ordered = sorted(outcomes, key=lambda outcome: outcome.method)
    return [(name, list(group)) for name, group in groupby(ordered, key=lambda outcome: outcome.method)]


def _overview(outcomes: list[Outcome]) -> str:
    lines = [
        "| function | cells | passed | too low | too high | lowest | highest |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for name, group in _by_method(outcomes):
        rates = [outcome.rate for outcome in group if outcome.said]
        passed = sum(outcome.passed for outcome in group)
        test = group[0].kind == "test"
        low = "" if test else sum(outcome.off < 0 for outcome in group)
        high = sum(outcome.off > 0 for outcome in group)
        limits = (_percent(min(rates)), _percent(max(rates))) if rates else ("", "")
        lines.append(f"| {name} | {len(group)} | {passed} | {low} | {high} | {limits[0]} | {limits[1]} |")
    return "\n".join(lines) + "\n"


def _missed(outcomes: list[Outcome]) -> str:
    missed = sorted(
        (o for o in outcomes if not o.passed and o.rate == o.rate), key=lambda o: (o.off > 0, -abs(o.off))
    )
    if not missed:
        return "No cell.\n"
    lines = ["| function | design | rate | off by |", "|---|---|---:|---:|"]
    for o in missed:
        lines.append(f"| {o.method} | {o.design} | {_percent(o.rate)} | {100 * o.off:+.1f} points |")
    return "\n".join(lines) + "\n"


def _edges() -> str:
    lines = ["| function | data | what it says |", "|---|---|---|"]
    lines += [f"| {edge.function} | {edge.case} | {edge.said} |" for edge in edges()]
    return "\n".join(lines) + "\n"


def _section(name: str, group: list[Outcome]) -> str:
    lines = [
        f"### {name}",
        "",
        "| design | rate | error | data sets | silent | width | |",
        "|---|---:|---:|---:|---:|---:|---|",
    ]
    for o in group:
        verdict = "silent throughout" if not o.said else "" if o.passed else "missed"
        width = "" if isnan(o.width) else f"{o.width:.3g}"
        silent = _percent(o.silent) if o.silent else ""
        rate, error = (_percent(value) for value in (o.rate, o.error))
        lines.append(f"| {o.design} | {rate} | {error} | {o.replicates:,} | {silent} | {width} | {verdict} |")
    return "\n".join(lines) + "\n"


def _percent(share: float) -> str:
    return "" if isnan(share) else f"{100 * share:.1f} %"


def draw(file: Path, sides: dict[str, list[Outcome]]) -> None:
    """A dot per cell, a row per function; the band is what the rule allows."""
    from matplotlib.figure import Figure

    methods = {kind: _by_method(outcomes) for kind, outcomes in sides.items()}
    heights = [max(1, len(methods[kind])) for kind in sides]
    figure = Figure(figsize=(8, 0.28 * sum(heights) + 1.6), layout="constrained")
    panels = figure.subplots(2, 1, height_ratios=heights, squeeze=False)[:, 0]
    for kind, axes in zip(sides, panels, strict=True):
        interval = kind == "interval"
        axes.axvspan(*((93, 97) if interval else (0, 6)), color="0.9", lw=0)
        axes.axvline(95 if interval else 5, color="0.6", lw=0.8)
        floor, ceiling = (80, 100.5) if interval else (-0.3, 12)
        for place, (_, group) in enumerate(methods[kind]):
            for outcome in group:
                if outcome.rate == outcome.rate:
                    x = min(max(100 * outcome.rate, floor), ceiling)
                    colour = "#0072b2" if outcome.passed else "#d55e00"
                    axes.plot(
                        x, place, "o" if outcome.passed else "D", color=colour, ms=3.5, alpha=0.6, mew=0
                    )
        axes.set_yticks(range(len(methods[kind])), [name for name, _ in methods[kind]], fontsize=8)
        axes.invert_yaxis()
        axes.set_xlim(floor, ceiling)
        axes.set_xlabel(
            "coverage of 95 % intervals, per cent" if interval else "true nulls rejected at 5 %, per cent",
            fontsize=8,
        )
        axes.tick_params(axis="x", labelsize=8)
    figure.savefig(file, metadata={"Date": None})
