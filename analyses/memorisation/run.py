"""Run the study, draw exposure by repeats and by learning, judge the predictions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas as pd

from analyses.figures import drawing, seed_lines
from analyses.memorisation.rules import (
    FULL,
    HEAD,
    LORA,
    doses,
    exposed,
    judged,
    learned,
    of_repeats,
    table,
)
from analyses.questions import Question, answer

if TYPE_CHECKING:
    from matplotlib.axes import Axes

QUESTION = Question(name="memorisation", title="What is learned by heart?")
CHANCE = 1.44  # bits


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0 when the run came to its end, whatever the outcome."""
    return answer(QUESTION, judged, {"exposure": exposure}, more=table, argv=argv)


def exposure(rows: pd.DataFrame, seeds: str) -> str:
    """Exposure over repeats at the end, and over what was learned along each training."""
    from sft_probe.report.charts import Panel, null_line

    counts = doses(rows)

    def over_repeats(axes: Axes) -> None:
        for place, arm in enumerate((FULL, LORA, HEAD)):
            found = pd.DataFrame([of_repeats(rows, arm, n) for n in counts])
            seed_lines(axes, found.reset_index(drop=True), place, arm)
        null_line(axes, CHANCE)
        axes.set_xticks(range(len(counts)), [f"{n}" for n in counts])
        axes.set_xlabel("times planted")
        axes.set_ylabel("exposure, bits")
        axes.legend(frameon=False, fontsize=8)

    def along(axes: Axes) -> None:
        for place, arm in enumerate((FULL, LORA, HEAD)):
            seed_lines(axes, exposed(rows, arm), place, arm, across=learned(rows, arm))
        null_line(axes, CHANCE)
        axes.set_xlabel("learned, nats/token on held-out people")
        axes.set_ylabel("exposure, bits")
        axes.legend(frameon=False, fontsize=8)

    panels = [
        Panel(title="by repeats, at the end", draw=over_repeats, alt="exposure by repeats and arm"),
        Panel(title="along the training", draw=along, alt="exposure over what was learned, by arm"),
    ]
    return drawing("exposure", "Secrets known by heart", f"{seeds}; thin: one seed; dashes: chance", panels)
