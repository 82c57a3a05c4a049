"""One page from all results that are there."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import median
from typing import Any

COMMAND = "python -m analyses.performance"
HEAD = f"""# Performance

Questions, goals and methods, written before the run:
[`analyses/performance`](../../analyses/performance/README.md). Command: `{COMMAND}`.
Every repetition stands in `results/*.json`.

A figure is a ratio of medians. Both sides ran in one process, in turn, after their answers had been
compared. The machine was shared, so the ratio of processor times stands beside that of wall times; where
the two differ, the other users of the machine are the reason.
"""


def write_report(output_dir: Path, names: tuple[str, ...]) -> Path:
    """Render `<output_dir>/README.md` from `<output_dir>/results/*.json`, in the order of `names`."""
    files = [output_dir / "results" / f"{name}.json" for name in names]
    results = [json.loads(file.read_text("utf-8")) for file in files if file.is_file()]
    parts = [HEAD, _summary(results), *(_section(result) for result in results)]
    page = output_dir / "README.md"
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text("\n".join(parts), "utf-8")
    return page


def _summary(results: list[dict[str, Any]]) -> str:
    lines = ["| benchmark | case | figure | on processors | goal | outcome |", "|---|---|---:|---:|---|---|"]
    for result in results:
        for row in result["rows"]:
            if row["goal"]:
                cells = (f"[{result['name']}](#{result['name']})", row["case"], *_figures(row), *_judged(row))
                lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _section(result: dict[str, Any]) -> str:
    lines = [f"## {result['name']}", "", f"**{result['question']}** Goal: {result['goal']}", ""]
    lines += ["| case | figure | on processors | ours | other | goal | outcome | same answers |"]
    lines += ["|---|---:|---:|---:|---:|---|---|---|"]
    for row in result["rows"]:
        sides = (_seconds(row["ours"]), _seconds(row["other"]))
        cells = (row["case"], *_figures(row), *sides, *_judged(row), row["same"] or "—")
        lines.append(f"| {' | '.join(cells)} |")
    if result["figure"]:
        lines += ["", f"![{result['question']}](figures/{result['figure']})"]
    lines += ["", *(f"- {note}" for note in result["notes"])]
    lines += ["", f"*{_described(result)}*", ""]
    return "\n".join(lines)


def _figures(row: dict[str, Any]) -> tuple[str, str]:
    value, process = (row[key] for key in ("value", "process_value"))
    return (
        f"{_number(value)} {row['unit']}" if value is not None else "—",
        _number(process) if process is not None else "—",
    )


def _judged(row: dict[str, Any]) -> tuple[str, str]:
    if not row["goal"]:
        return "—", "—"
    bound, upward = row["goal"]["bound"], row["goal"]["at_least"]
    met = row["value"] is not None and (row["value"] >= bound if upward else row["value"] <= bound)
    return f"{'≥' if upward else '≤'} {bound:g}", "met" if met else "**missed**"


def _seconds(timing: dict[str, Any] | None) -> str:
    if not timing:
        return "—"
    wall = timing["wall"]
    return f"{_number(median(wall))} s ({_number(min(wall))} to {_number(max(wall))}, n = {len(wall)})"


def _number(value: float) -> str:
    size = abs(value)
    if size >= 100:
        return f"{value:.0f}"
    if size >= 10:
        return f"{value:.1f}"
    if size >= 0.1:
        return f"{value:.2f}"
    return f"{value:.2g}"


def _described(result: dict[str, Any]) -> str:
    machine = result["machine"]
    versions = {**machine["versions"], **result["versions"]}
    setting = "; ".join(f"{key}: {value}" for key, value in result["setting"].items())
    listed = ", ".join(f"{name} {number}" for name, number in versions.items())
    where = (
        f"{machine['processor']}, {machine['cores']} cores, {machine['memory_gib']} GiB, "
        f"{machine['threads']} thread, load {machine['load_average']} at the start"
    )
    return ". ".join(part for part in (setting, where, listed, f"commit {machine['commit']}") if part) + "."
