"""`sft-probe report`: build the report of a study again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sft_probe.cli.options import LangOption, ShowUnsafeOption, StudyFolder

CertificateOption = Annotated[
    Path | None,
    typer.Option("--certificate", metavar="FILE", help="certificate.json by which probes are marked."),
]

ReferenceOption = Annotated[
    str | None, typer.Option("--reference", metavar="ARM", help="Arm that the others are set against.")
]

PngOption = Annotated[bool, typer.Option("--png", help="Write every figure as a PNG file, too.")]


def report(
    folder: StudyFolder,
    lang: LangOption = "en",
    show_unsafe: ShowUnsafeOption = False,
    certificate: CertificateOption = None,
    reference: ReferenceOption = None,
    png: PngOption = False,
) -> None:
    """Build the report again from the runs on disk."""
    from sft_probe.report import build_report

    paths = build_report(
        folder, lang=lang, show_unsafe=show_unsafe, certificate=certificate, reference=reference, png=png
    )
    typer.echo(paths.html)
