"""Run the study, draw attacks by depth, judge the predictions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas as pd

from analyses.figures import drawing, seed_lines
from analyses.questions import Question, answer
from analyses.shallow_alignment.rules import DEEP, SHALLOW, depths, judged, rates, success

if TYPE_CHECKING:
    from matplotlib.axes import Axes

QUESTION = Question(name="shallow_alignment", title="How deep is a refusal, and how long does it last?")


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0 when the run came to its end, whatever the outcome."""
    return answer(QUESTION, judged, {"attacks_by_depth": attacks}, more=rates, argv=argv)


def attacks(rows: pd.DataFrame, seeds: str) -> str:
    """Success by the number of tokens that answers were made to begin with, after each stage."""
    from sft_probe.report.charts import Panel, in_percent

    at = [0, *depths(rows)]

    def panel(stage: int, title: str) -> Panel:
        def draw(axes: Axes) -> None:
            for place, (arm, label) in enumerate(((SHALLOW, "without recovery"), (DEEP, "with recovery"))):
                found = pd.DataFrame([success(rows, arm, depth, stage) for depth in at], index=at)
                seed_lines(axes, found, place, label)
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
