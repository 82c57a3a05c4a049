"""Read runs of other analyses, fit forgetting to one predictor after the other, judge the predictions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from analyses.figures import drawing
from analyses.kl_predicts_forgetting.rules import (
    FEWEST,
    OUTCOME,
    PREDICTORS,
    SHOWN_TOO,
    compared,
    findings,
    usable,
)
from analyses.questions import Question, command_line, publish
from sft_probe import InputError, open_runs
from sft_probe.report.predictors import per_run

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from sft_probe.stats.intervals import Interval

QUESTION = Question(
    name="kl_predicts_forgetting", title="Does forward KL on the new task foretell forgetting?"
)
FOLDERS = (Path("runs/forgetting_by_method"), Path("runs/new_facts"))
NAMES = {
    "forward_kl": "forward KL on the task, nats/token",
    "weight_norm": "relative change of weights",
    "training_loss": "last training loss, nats/token",
}
OUTCOMES = {OUTCOME: "accuracy lost on benchmarks", SHOWN_TOO: "cross-entropy with the base on text"}


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 3 if a folder has no finished runs."""
    given = command_line(QUESTION, argv, folders="folders of studies whose runs are points")
    try:
        table = points(given.rest or FOLDERS)
    except InputError as error:
        print(error)
        return error.exit_code
    runs = usable(table)
    publish(
        QUESTION,
        given,
        findings(runs),
        {},
        figures={"points": figure(runs)} if len(runs) else {},
        more=said(table),
    )
    return 0


def points(folders: Sequence[Path]) -> pd.DataFrame:
    """One row per finished run of some studies: `study`, `arm`, predictors and outcomes.

    Raises: InputError if a folder has no finished run.
    """
    found = [per_run(open_runs(folder).material).assign(study=folder.name) for folder in folders]
    return pd.concat(found, ignore_index=True)


def said(table: pd.DataFrame) -> str:
    """Where the runs come from, and all predictors of both outcomes, as Markdown."""
    counts = usable(table).groupby("study").agg(runs=("arm", "size"), arms=("arm", "nunique"))
    lines = [
        "Runs: " + "; ".join(f"{name} {row.runs} ({row.arms} arms)" for name, row in counts.iterrows()) + ".",
        "",
        "| forgetting as | predictor | R², leaving one run out | Spearman | best in draws |",
        "|---|---|---|---|---|",
    ]
    for outcome, words in OUTCOMES.items():
        runs = usable(table, outcome)
        if len(runs) < FEWEST:
            continue
        lines += [
            f"| {words} | {NAMES[name].partition(',')[0]} | {_limits(one.r2)} | {_limits(one.spearman)} "
            f"| {100 * one.best:.0f} % |"
            for name, one in compared(runs, outcome).items()
        ]
    return "\n".join(lines) + "\n"


def _limits(found: Interval) -> str:
    return f"{found.value:.2f} ({found.low:.2f} to {found.high:.2f})"


def figure(runs: pd.DataFrame) -> str:
    """Forgetting against every predictor, a point per run, studies apart."""
    from sft_probe.report.charts import COLOURS, MARKERS, Panel

    def drawn(name: str) -> Panel:
        def draw(axes: Axes) -> None:
            for place, (study, own) in enumerate(runs.groupby("study")):
                axes.plot(
                    own[name],
                    own[OUTCOME],
                    MARKERS[place],
                    color=COLOURS[place],
                    markersize=3.5,
                    linestyle="none",
                    label=str(study),
                )
            axes.set_xlabel(NAMES[name])
            axes.set_ylabel("accuracy lost")
            axes.legend(frameon=False, fontsize=7)

        return Panel(
            title=NAMES[name].partition(",")[0], draw=draw, alt=f"Accuracy lost against {NAMES[name]}"
        )

    return drawing(
        "points",
        "Forgetting against what might foretell it",
        f"Accuracy lost on all benchmarks (share of documents) at the end of {len(runs)} runs",
        [drawn(name) for name in PREDICTORS],
    )
