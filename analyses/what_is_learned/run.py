"""Run the four studies, take the gains apart, judge the predictions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import pandas as pd

from analyses.figures import drawing
from analyses.questions import Question, carry_out, command_line, publish, study_of
from analyses.what_is_learned.rules import (
    FORMED,
    LIKELY,
    QUESTIONS,
    STRICT,
    accounts,
    findings,
    table,
)
from sft_probe import RunStore

if TYPE_CHECKING:
    from matplotlib.axes import Axes

QUESTION = Question(name="what_is_learned", title="What is learned, for four kinds of task?")
NAMES = {"sentiment": "classification", "json_extraction": "extraction", "summarise": "summarising"}


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0 when the runs came to their end, whatever the outcome."""
    given = command_line(QUESTION, argv)
    specs = {QUESTIONS: study_of(QUESTION, given, file="facts.yaml", part=QUESTIONS)}
    specs |= {task: study_of(QUESTION, given, part=task, task=task) for task in FORMED}
    for spec in specs.values():
        carry_out(spec, given)
    found = {task: RunStore(spec.output_dir).measurements() for task, spec in specs.items()}
    publish(
        QUESTION,
        given,
        findings(found),
        {task: spec.output_dir for task, spec in specs.items()},
        figures={"gains": figure(found)},
        more=tables(found),
    )
    return 0


def tables(studies: Mapping[str, pd.DataFrame]) -> str:
    """What the rules rest on, as Markdown: means over seeds."""
    lines = ["Questions about known facts, share of right answers, means over seeds:", ""]
    rows = {
        name: accounts(studies[QUESTIONS], stratum).mean()
        for name, stratum in (("held out", "E0"), ("trained", "E1"))
    }
    lines += _markdown(pd.DataFrame(rows).T, "people")
    for metric, words in ((STRICT, "Strict score"), (LIKELY, "Log-likelihood of the answers, nats/token")):
        lines += ["", f"{words}, means over seeds:", ""]
        lines += _markdown(table(studies, metric).groupby(level="task").mean().rename(index=NAMES), "task")
    return "\n".join(lines) + "\n"


def _markdown(frame: pd.DataFrame, corner: str) -> list[str]:
    head = [
        f"| {corner} | " + " | ".join(map(str, frame.columns)) + " |",
        "|---" * (len(frame.columns) + 1) + "|",
    ]
    return head + [
        f"| {name} | " + " | ".join("-" if pd.isna(value) else f"{value:.3f}" for value in row) + " |"
        for name, row in zip(frame.index, frame.to_numpy(), strict=True)
    ]


def figure(studies: Mapping[str, pd.DataFrame]) -> str:
    """One panel per task: the score of the base and of each arm, all seeds."""
    from sft_probe.report.charts import COLOURS, Panel

    likely = table(studies, LIKELY)

    def drawn(task: str) -> Panel:
        own = likely.loc[task]

        def draw(axes: Axes) -> None:
            for place, arm in enumerate(own.columns):
                axes.plot([place] * len(own), own[arm], "o", color=COLOURS[place], markersize=4)
                axes.plot([place - 0.3, place + 0.3], [own[arm].mean()] * 2, color=COLOURS[place])
            axes.set_xticks(range(4), ["base", "answers\ndealt out", "thirty\nrows", "all rows"])
            axes.set_ylabel("nats/token")

        return Panel(title=NAMES[task], draw=draw, alt=f"Log-likelihood of answers, {NAMES[task]}")

    return drawing(
        "gains",
        "From the base to form, to a few rows, to all rows",
        "Log-likelihood of right answers to new rows, nats/token; a dot is a seed, a line their mean",
        [drawn(task) for task in FORMED],
    )
