"""`sft-probe repair`: bring back what a run lost, at the least cost to what it learned."""

from __future__ import annotations

from dataclasses import asdict
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

if TYPE_CHECKING:
    from sft_probe.execute.repair import Repair
    from sft_probe.stats.intervals import Interval

NAMES = {"base": "base", "tuned": "tuned", "blocks": "blocks reset", "wise": "towards the base"}


def repair(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a finished run that kept its model.")],
    output_dir: Annotated[Path, typer.Option("--output-dir", "-o", help="Folder for the repaired model.")],
    way: Annotated[
        Literal["better", "blocks", "wise"],
        typer.Option(help="Reset blocks, go towards the base with all weights, or what is better."),
    ] = "better",
    items: Annotated[
        int, typer.Option(min=8, help="Rows of the test set; half of them for the choice.")
    ] = 200,
    documents: Annotated[
        int, typer.Option(min=8, help="Documents of each benchmark; half of them for the choice.")
    ] = 60,
) -> None:
    """Undo as little of a run's training as brings back most of what it lost.

    Writes the repaired model, and what it restores and keeps on items that the choice did not see.
    """
    from sft_probe.cli.progress import Bar
    from sft_probe.execute.repair import repair_run
    from sft_probe.store.atomic import write_json, write_text

    with Bar() as bar:
        found = repair_run(
            run,
            output_dir,
            way=None if way == "better" else way,
            items=items,
            documents=documents,
            progress=bar,
        )
    write_json(output_dir / "repair.json", _plain(asdict(found)))
    write_text(output_dir / "repair.md", text(found))
    typer.echo(output_dir / "repair.md")


def text(found: Repair) -> str:
    """What was found, as Markdown."""
    reset = ", ".join(f"{part} of layer {layer}" for layer, part in found.blocks) or "none is worth it"
    lines = [
        f"# Repair of {found.run}",
        "",
        f"Lost: {', '.join(found.lost)}. Written: {NAMES[found.written]}.",
        "",
        f"- Blocks reset to the base: {reset}.",
        f"- Towards the base: base + {found.alpha:g} (tuned - base), the best of a grid.",
        "",
        "Chosen on one half of the items; these numbers are from the other, with 95 % intervals.",
        "",
        "| Model | Loss restored, % | Gain kept, % | Exact answers, % | Right choices on benchmarks, % |",
        "| --- | --- | --- | --- | --- |",
        *(
            f"| {NAMES[name]} | {' | '.join(map(_percent, (m.restored, m.kept, m.exact, m.right)))} |"
            for name, m in found.models.items()
        ),
        "",
        "Change from the tuned model, nats per item:",
        "",
        f"| Data | {' | '.join(NAMES[name] for name in found.models)} |",
        f"| --- |{' --- |' * len(found.models)}",
    ]
    for data in found.models["tuned"].scores:
        cells = (_nats(model.scores[data]) for model in found.models.values())
        lines.append(f"| {data} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _percent(found: Interval) -> str:
    return _with_limits(found, 100, ".0f")


def _nats(found: Interval) -> str:
    return _with_limits(found, 1, "+.2f")


def _with_limits(found: Interval, scale: float, form: str) -> str:
    if not isfinite(found.value):
        return "-"
    value, low, high = (format(scale * number, form) for number in (found.value, found.low, found.high))
    return f"{value} ({low} to {high})" if isfinite(found.low) else value


def _plain(value: Any) -> Any:
    """For JSON, which has no NaN."""
    match value:
        case dict():
            return {key: _plain(part) for key, part in value.items()}
        case list() | tuple():
            return [_plain(part) for part in value]
        case float() if not isfinite(value):
            return None
    return value
