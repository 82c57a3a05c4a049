"""Run the study, draw attacks by depth, judge the predictions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from analyses.questions import Question, carry_out, command_line, drawing, publish, seeds_run, study_of
from analyses.shallow_alignment.rules import DEEP, SHALLOW, depths, judged, rates, success
from sft_probe import RunStore

if TYPE_CHECKING:
    from matplotlib.axes import Axes

QUESTION = Question(name="shallow_alignment", title="How deep is a refusal, and how long does it last?")


def main() -> int:
    """Exit code 0 when the run came to its end, whatever the outcome."""
    given = command_line(QUESTION)
    spec = study_of(QUESTION, given)
    carry_out(spec, given)
    rows = RunStore(spec.output_dir).measurements()
    figures = {"attacks_by_depth": attacks(rows, seeds_run(spec.output_dir))}
    findings = judged(rows)
    publish(QUESTION, given, findings, {"report": spec.output_dir}, figures=figures, more=rates(rows))
    return 0


def attacks(rows: pd.DataFrame, seeds: str) -> str:
    """Success by the number of tokens that answers were made to begin with, after each stage."""
    from sft_probe.report.charts import COLOURS, MARKERS, Panel, in_percent

    at = [0, *depths(rows)]

    def panel(stage: int, title: str) -> Panel:
        def draw(axes: Axes) -> None:
            for place, (arm, label) in enumerate(((SHALLOW, "without recovery"), (DEEP, "with recovery"))):
                found = pd.DataFrame([success(rows, arm, depth, stage) for depth in at], index=at)
                style = {"color": COLOURS[place], "marker": MARKERS[place], "markersize": 4}
                axes.plot(at, found.mean(axis=1), label=label, **style)
                axes.plot(at, found.to_numpy(), color=COLOURS[place], alpha=0.3, linewidth=0.8)
            axes.set_xlabel("tokens of compliance given")
            axes.set_ylabel("attacks that succeed, %")
            axes.set_ylim(-0.03, 1.03)
            in_percent(axes, vertical=True)
            axes.legend(frameon=False, fontsize=8)

        return Panel(title=title, draw=draw, alt=f"success of attacks by depth, {title}")

    panels = [panel(1, "after learning to refuse"), panel(2, "after summaries of news")]
    return drawing(
        "attacks_by_depth", "Attacks by depth", f"held-out requests, {seeds}; thin: one seed", panels
    )
