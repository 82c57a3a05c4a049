"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from sft_probe.errors import SpecError

if TYPE_CHECKING:
    from sft_probe.execute.executors import Executor

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
ExecutorOption = Annotated[
    str | None,
    typer.Option("--executor", metavar="NAME", help="Where runs are made; see `ls executors`. Else here."),
]
WithOption = Annotated[
    list[str] | None,
    typer.Option("--with", metavar="KEY=VALUE", help="Option of the executor, e.g. gpus=1. Repeatable."),
]
ForceOption = Annotated[bool, typer.Option("--force", help="Run again what is already finished.")]


def executor_of(name: str | None, options: list[str] | None) -> Executor | None:
    """The executor of that name with its options, None without a name. Raises: SpecError."""
    from sft_probe.execute.executors import make_executor

    if name is None and options:
        raise SpecError("--with gives options of an executor.", remedy="Name one by --executor.")
    return make_executor(name, parse_settings(options, "--with gpus=1")) if name is not None else None


def parse_settings(
    settings: list[str] | None, example: str = "--set training.max_steps=10"
) -> dict[str, str]:
    """`KEY=VALUE` texts by key. Raises: SpecError for one without "="."""
    pairs = {}
    for setting in settings or []:
        key, equals, value = setting.partition("=")
        if not (key and equals):
            raise SpecError(f"'{setting}' is not KEY=VALUE.", remedy=f"Write {example}.")
        pairs[key.strip()] = value
    return pairs
