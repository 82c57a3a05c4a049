"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from sft_probe.errors import SpecError

Lang = Literal["en", "zh"]

LangOption = Annotated[Lang, typer.Option("--lang", help="Language of the report.")]
StudyFile = Annotated[Path, typer.Argument(metavar="FILE", help="A study file; write one with `init`.")]
StudyFolder = Annotated[
    Path,
    typer.Argument(metavar="DIR", help="Folder of a study, its `output_dir`.", exists=True, file_okay=False),
]
OutputOption = Annotated[Path, typer.Option("--output-dir", "-o", help="Folder for runs and report.")]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change a key, e.g. training.max_steps=10. Repeatable."),
]
ShowUnsafeOption = Annotated[
    bool, typer.Option("--show-unsafe", help="Show requests that should be refused, and their answers.")
]
ForceOption = Annotated[bool, typer.Option("--force", help="Run again what is already finished.")]


def parse_settings(settings: list[str] | None) -> dict[str, str]:
    """`KEY=VALUE` texts by key. Raises: SpecError for one without "="."""
    pairs = {}
    for setting in settings or []:
        key, equals, value = setting.partition("=")
        if not (key and equals):
            raise SpecError(f"'{setting}' is not KEY=VALUE.", remedy="Write --set training.max_steps=10.")
        pairs[key.strip()] = value
    return pairs
