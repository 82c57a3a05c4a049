"""`sft-probe query`: SQL over everything a study has measured."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from sft_probe.cli.options import StudyFolder


def query(
    folder: StudyFolder,
    sql: Annotated[str, typer.Argument(metavar="SQL", help="A DuckDB statement.")],
    form: Annotated[
        Literal["table", "csv", "json"], typer.Option("--format", help="Form of the answer.")
    ] = "table",
) -> None:
    """Ask everything a study has measured, in SQL.

    Views: `measurements`, `items`, `runs` and `train_log`.
    """
    from sft_probe.cli.tables import print_table
    from sft_probe.store.query import query as ask

    answer = ask(folder, sql)
    if form == "csv":
        typer.echo(answer.to_csv(index=False), nl=False)
    elif form == "json":
        typer.echo(answer.to_json(orient="records", force_ascii=False, indent=1))
    else:
        print_table(list(answer.columns), answer.astype(object).itertuples(index=False))
