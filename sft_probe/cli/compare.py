"""`sft-probe compare`: what differs between two runs, or two arms, on the same items."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sft_probe.cli.options import LangOption, ShowUnsafeOption

if TYPE_CHECKING:
    from sft_probe.report.comparison import Comparison
    from sft_probe.report.words import Words

WIDTH = 100  # columns of the table


def compare(
    a: Annotated[str, typer.Argument(metavar="A", help="Folder of a finished run, or an arm as STUDY:arm.")],
    b: Annotated[str, typer.Argument(metavar="B", help="The same; differences are B minus A.")],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write a page, page.html.")] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="All metrics and strata, not only those that stand for a probe.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
    lang: LangOption = "en",
    show_unsafe: ShowUnsafeOption = False,
) -> None:
    """Compare two runs, or two arms.

    B minus A at the end of training on the same items, with intervals, all tests adjusted together.
    """
    from sft_probe.report.comparison import compare as compared
    from sft_probe.report.words import Words

    found = compared(a, b, everything=everything)
    if as_json:
        from sft_probe.report.comparison_page import comparison_json

        typer.echo(comparison_json(found, lang=lang), nl=False)
    else:
        _print(found, Words(lang))
    if output:
        from sft_probe.report.comparison_page import comparison_page
        from sft_probe.store.atomic import write_text

        write_text(output, comparison_page(found, lang=lang, show_unsafe=show_unsafe))
        typer.echo(output, err=as_json)


def _print(found: Comparison, words: Words) -> None:
    from rich.console import Console

    from sft_probe.report.comparison_words import covers, sentences, warnings

    console = Console(width=WIDTH, highlight=False, markup=False)
    console.print(f"A  {found.a.label}  ({found.a.study})\nB  {found.b.label}  ({found.b.study})\n")
    for said in (*sentences(found, words), *warnings(found, words)):
        console.print(said)
    _print_table(console, found, words)
    console.print(covers(found, words))


def _print_table(console: object, found: Comparison, words: Words) -> None:
    """Rows under the name of their probe."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    from sft_probe.report.comparison_words import data_name, measured, moved_by, outcome
    from sft_probe.report.numbers import kind_of, number, p_value

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    titles = ("", "A", "B", words("compare.difference"), words("col.items"), "p", words("compare.shown"))
    for place, title in enumerate(titles):
        number_column = 0 < place < len(titles) - 1
        table.add_column(
            title, justify="right" if number_column else "left", no_wrap=number_column, overflow="fold"
        )
    probe = ""
    for d in found.differences:
        if d.place.probe != probe:
            probe = d.place.probe
            table.add_row(Text(words.probe(probe), style="bold"))
        kind = kind_of(d.place.metric)
        whole = f"  {measured(d, words)}{' · ' if d.place.dataset else ''}{data_name(d, words)}"
        cells = (
            f"      {d.place.stratum}" if d.place.stratum else whole,
            *(number(side.value, kind) for side in (d.a, d.b)),
            moved_by(d, words) + ("" if d.paired else "*"),
            f"{d.change.n:,}",
            p_value(d.adjusted),
            outcome(found, d, words),
        )
        table.add_row(*(Text(cell) for cell in cells))
    console.print(table)  # type: ignore[attr-defined]
    if any(not d.paired for d in found.differences):
        console.print(f"* {words('compare.apart')}")  # type: ignore[attr-defined]
