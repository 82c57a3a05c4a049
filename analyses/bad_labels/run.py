"""Run the study, draw what noise leaves, judge the predictions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas as pd

from analyses.bad_labels.rules import EPOCH, NOISE, accuracy, judged, table, wrong_mass
from analyses.figures import drawing, seed_lines
from analyses.questions import Question, answer

if TYPE_CHECKING:
    from matplotlib.axes import Axes

QUESTION = Question(name="bad_labels", title="What do annotation faults leave behind?")


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0 when the run came to its end, whatever the outcome."""
    return answer(QUESTION, judged, {"label_noise": noise}, more=table, argv=argv)


def noise(rows: pd.DataFrame, seeds: str) -> str:
    """Accuracy and the mass off the right label over the rate of label noise."""
    from sft_probe.report.charts import COLOURS, Panel

    rates = list(NOISE)

    def line(axes: Axes, found: dict[float, pd.Series], place: int, label: str) -> None:
        seed_lines(axes, pd.DataFrame(found).T, place, label)
        axes.set_xlabel("share of wrong labels")

    def of_accuracy(axes: Axes) -> None:
        line(axes, {rate: accuracy(rows, arm) for rate, arm in NOISE.items()}, 0, "label noise")
        typos = accuracy(rows, "typos_40")
        axes.plot([rates[-1]] * len(typos), typos, "x", color=COLOURS[1], label="typos in as many rows")
        axes.set_ylabel("right on held-out reviews")
        axes.legend(frameon=False, fontsize=8)

    def of_mass(axes: Axes) -> None:
        line(axes, {rate: wrong_mass(rows, arm) for rate, arm in NOISE.items()}, 0, "after four epochs")
        line(axes, {rate: wrong_mass(rows, arm, EPOCH) for rate, arm in NOISE.items()}, 1, "after one")
        axes.plot(rates, rates, color="#59636e", linestyle=(0, (4, 3)), linewidth=1, label="at its word")
        axes.set_ylabel("probability off the right label")
        axes.legend(frameon=False, fontsize=8)

    panels = [
        Panel(title="accuracy", draw=of_accuracy, alt="accuracy over the share of wrong labels"),
        Panel(title="noise that is passed on", draw=of_mass, alt="wrong mass over the share of wrong labels"),
    ]
    return drawing("label_noise", "What wrong labels leave", f"{seeds}; thin: one seed", panels)
