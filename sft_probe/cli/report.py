"""`sft-probe report`: build the report of a study again."""

from __future__ import annotations

from typing import Annotated

import typer

from sft_probe.cli.options import LangOption, ShowUnsafeOption, StudyFolder


def report(
    folder: StudyFolder,
    lang: LangOption = "en",
    show_unsafe: ShowUnsafeOption = False,
    reference: Annotated[
        str | None, typer.Option("--reference", metavar="ARM", help="Arm that the others are set against.")
    ] = None,
) -> None:
    """Build the report again from the runs on disk."""
    from sft_probe.report import build_report

    typer.echo(build_report(folder, lang=lang, show_unsafe=show_unsafe, reference=reference).html)
