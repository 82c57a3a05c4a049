"""`sft-probe demo`: a whole study on the planted world, from nothing to a report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sft_probe.cli.options import ForceOption, LangOption, OutputOption
from sft_probe.cli.run import run_and_report


def demo(
    output_dir: OutputOption = Path("runs/demo"),
    seeds: Annotated[int | None, typer.Option(min=1, help="Number of training seeds.")] = None,
    force: ForceOption = False,
    lang: LangOption = "en",
) -> None:
    """Run a whole study on the planted world.

    Fine-tunes the small base that ships with the package in several ways, watches what it learns and loses,
    and writes the report. Takes a few minutes on two cores and needs no network.
    """
    from sft_probe.study.templates import read_template
    from sft_probe.study.yaml import parse_study

    overrides = {"output_dir": str(output_dir)}
    if seeds:
        overrides["seeds"] = str(list(range(seeds)))
    spec = parse_study(read_template("demo"), file="demo.yaml", overrides=overrides)
    run_and_report(spec, lang, force=force)
