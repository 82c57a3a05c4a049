"""`sft-probe gate`: hold finished runs to rules, for CI."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sft_probe.errors import GateNotMet

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sft_probe.report.gate import Judgement

SAID = {"unknown": "not judged"}  # of outcomes that are not a word of their own


def gate(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="DIR", help="A run, or a study: each run of it.", exists=True, file_okay=False
        ),
    ],
    rules: Annotated[Path, typer.Option("--rules", help="Rules; write some with `init --template gate`.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Hold finished runs to rules.

    Exit code 0 if every rule is met, 2 if one is not, 3 if the rules or the runs cannot be used.
    """
    from sft_probe.report.gate import gate_json, judge
    from sft_probe.report.rules import load_rules

    judged = judge(folder, load_rules(rules), file=rules)
    if as_json:
        typer.echo(json.dumps(gate_json(judged), indent=1, ensure_ascii=False, allow_nan=False))
    else:
        _print(judged)
    if failed := Counter(_name(one) for one in judged if not one.passed):
        names = ", ".join(f"{name} ({count})" for name, count in failed.items())
        raise GateNotMet(f"{failed.total()} of {len(judged)} are not met: {names}.")


def _print(judged: Sequence[Judgement]) -> None:
    from sft_probe.cli.tables import print_table
    from sft_probe.report.numbers import kind_of, number, with_interval

    rows = []
    for one in judged:
        kind = kind_of(one.place.metric, change=one.rule.change is not None)
        sign = "≥" if one.rule.bound == "at_least" else "≤"
        what = f"{one.place.metric}{' change' if one.rule.change else ''}"
        where = " · ".join(part for part in (one.place.dataset, one.place.stratum) if part)
        rows.append(
            (
                one.run,
                _name(one),
                f"{what} · {where}" if where else what,
                f"{sign} {number(one.rule.value, kind)}",
                with_interval(one.found, kind) + ("" if one.why == "" else f" {one.why}"),
                f"{one.confidence:.4g}",
                SAID.get(one.outcome, one.outcome),
                "pass" if one.passed else "FAIL",
            )
        )
    print_table(("run", "rule", "measured", "limit", "found (interval)", "confidence", "shown", ""), rows)


def _name(one: Judgement) -> str:
    return one.rule.name or f"{one.rule.probe}.{one.rule.metric}"
