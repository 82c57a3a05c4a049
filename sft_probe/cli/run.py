"""`sft-probe run`: train and probe every arm of a study, then write the report."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sft_probe.cli.options import (
    ExecutorOption,
    ForceOption,
    Lang,
    LangOption,
    SetOption,
    StudyFile,
    WithOption,
    executor_of,
    parse_settings,
)
from sft_probe.errors import RunsFailed

if TYPE_CHECKING:
    from sft_probe.execute.executors import Executor
    from sft_probe.study.spec import StudySpec


def run(
    file: StudyFile,
    output_dir: Annotated[
        Path | None, typer.Option("--output-dir", "-o", help="Folder for runs and report.")
    ] = None,
    settings: SetOption = None,
    force: ForceOption = False,
    lang: LangOption = "en",
    executor: ExecutorOption = None,
    options: WithOption = None,
) -> None:
    """Train and probe every arm of a study, write the report.

    Run it again to go on where it was stopped; finished runs with unchanged settings are kept.
    """
    from sft_probe.study.yaml import load_study

    overrides = parse_settings(settings) | ({"output_dir": str(output_dir)} if output_dir else {})
    place = executor_of(executor, options)
    run_and_report(load_study(file, overrides=overrides), lang, force=force, executor=place)


def run_and_report(
    spec: StudySpec, lang: Lang, *, force: bool = False, executor: Executor | None = None
) -> None:
    """Run a study under a progress bar, build its report and print the path of the page.

    Of several processes that train one model together, only the first one shows and reports.
    Raises: RunsFailed after the report, if some runs failed and others did not.
    """
    from sft_probe.cli.progress import Bar
    from sft_probe.execute.local import run_study
    from sft_probe.execute.together import follows
    from sft_probe.report import build_report

    if follows():
        run_study(spec, force=force, executor=executor)
        return
    failed: RunsFailed | None = None
    with Bar() as bar:
        try:
            run_study(spec, progress=bar, force=force, executor=executor)
        except RunsFailed as error:
            failed = error
        bar.note("writing the report")
        paths = build_report(spec.output_dir, lang=lang)
    typer.echo(paths.html)
    if failed:
        raise failed
