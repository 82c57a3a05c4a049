"""Run the study, time what was learned, judge the predictions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas as pd

from analyses.figures import drawing
from analyses.format_first.rules import LEVEL, curves, judged, time_to
from analyses.questions import Question, answer

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.axes import Axes

QUESTION = Question(name="format_first", title="What is learned first: the form, the style, or the facts?")


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0 when the run came to its end, whatever the outcome."""
    return answer(QUESTION, judged, {"order": order}, argv=argv)


def order(rows: pd.DataFrame, seeds: str) -> str:
    """The curves of all seeds, one panel for each thing learned, with the mean of their times."""
    from sft_probe.report.charts import Panel

    panels = [
        Panel(title=name, draw=_drawn(curve), alt=f"{name} over the steps, one line for each seed")
        for name, curve in curves(rows).items()
    ]
    return drawing(
        "order", "What was learned when", f"share of the change made, {seeds}; line: 90 % of it", panels
    )


def _drawn(curve: pd.DataFrame) -> Callable[[Axes], None]:
    from sft_probe.report.charts import COLOURS, null_line, step_axis

    def draw(axes: Axes) -> None:
        done = (curve - curve.iloc[0]) / (curve.iloc[-1] - curve.iloc[0])
        axes.plot(done.index, done.to_numpy(), color=COLOURS[0], linewidth=1.0, alpha=0.7)
        null_line(axes, curve.apply(time_to).mean(), vertical=True)
        null_line(axes, LEVEL)
        step_axis(axes, list(curve.index), "step")
        axes.set_ylim(-0.25, 1.35)

    return draw
