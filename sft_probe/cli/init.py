"""`sft-probe init`: write a study file to start from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from sft_probe.errors import SpecError


def init(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where to write it.")] = Path("study.yaml"),
    template: Annotated[
        Literal["demo", "own", "gate"],
        typer.Option(help="demo: the planted world. own: your model and data. gate: rules for `gate`."),
    ] = "demo",
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
) -> None:
    """Write a commented study file, or rules of a gate, to start from."""
    from sft_probe.report.rules import rules_template
    from sft_probe.study.templates import read_template

    if file.exists() and not force:
        raise SpecError("the file exists already.", file=file, remedy="Add --force to replace it.")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(rules_template() if template == "gate" else read_template(template), encoding="utf-8")
    if template == "gate":
        typer.echo(f"{file}: change the rules, then `sft-probe gate RUN_OR_STUDY --rules {file}`.")
        return
    typer.echo(f"{file}: check it with `sft-probe validate {file}`, start it with `sft-probe run {file}`.")
