"""`sft-probe card`: what fine-tuning changed in one run, for a model page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sft_probe.cli.options import LangOption


def card(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a finished run.")],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="File; printed if not given.")] = None,
    lang: LangOption = "en",
) -> None:
    """Write a section for a model page.

    Markdown with the findings of one run, under `model-index` metadata for the Hugging Face hub.
    """
    from sft_probe.report.card import card as written
    from sft_probe.store.atomic import write_text

    text = written(run, lang=lang)
    if output:
        write_text(output, text)
    typer.echo(output or text)
