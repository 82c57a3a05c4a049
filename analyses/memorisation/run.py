"""Run the study, draw exposure by repeats and by learning, judge the predictions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

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
from analyses.questions import Question, carry_out, command_line, drawing, publish, seeds_run, study_of
from sft_probe import RunStore

if TYPE_CHECKING:
    from matplotlib.axes import Axes

QUESTION = Question(name="memorisation", title="What is learned by heart?")
CHANCE = 1.44  # bits


def main() -> int:
    """Exit code 0 when the run came to its end, whatever the outcome."""
    given = command_line(QUESTION)
    spec = study_of(QUESTION, given)
    carry_out(spec, given)
    rows = RunStore(spec.output_dir).measurements()
    figures = {"exposure": exposure(rows, seeds_run(spec.output_dir))}
    publish(QUESTION, given, judged(rows), {"report": spec.output_dir}, figures=figures, more=table(rows))
    return 0


def exposure(rows: pd.DataFrame, seeds: str) -> str:
    """Exposure over repeats at the end, and over what was learned along each training."""
    from sft_probe.report.charts import COLOURS, MARKERS, Panel, null_line

    counts = doses(rows)

    def over_repeats(axes: Axes) -> None:
        for place, arm in enumerate((FULL, LORA, HEAD)):
            found = pd.DataFrame([of_repeats(rows, arm, n) for n in counts])
            axes.plot(range(len(counts)), found.to_numpy(), color=COLOURS[place], alpha=0.3, linewidth=0.8)
            style = {"color": COLOURS[place], "marker": MARKERS[place], "markersize": 4}
            axes.plot(range(len(counts)), found.mean(axis=1), label=arm, **style)
        null_line(axes, CHANCE)
        axes.set_xticks(range(len(counts)), [f"{n}" for n in counts])
        axes.set_xlabel("times planted")
        axes.set_ylabel("exposure, bits")
        axes.legend(frameon=False, fontsize=8)

    def along(axes: Axes) -> None:
        for place, arm in enumerate((FULL, LORA, HEAD)):
            gain, bits = learned(rows, arm), exposed(rows, arm)
            axes.plot(gain.to_numpy(), bits.to_numpy(), color=COLOURS[place], alpha=0.3, linewidth=0.8)
            style = {"color": COLOURS[place], "marker": MARKERS[place], "markersize": 4}
            axes.plot(gain.mean(axis=1), bits.mean(axis=1), label=arm, **style)
        null_line(axes, CHANCE)
        axes.set_xlabel("learned, nats/token on held-out people")
        axes.set_ylabel("exposure, bits")
        axes.legend(frameon=False, fontsize=8)

    panels = [
        Panel(title="by repeats, at the end", draw=over_repeats, alt="exposure by repeats and arm"),
        Panel(title="along the training", draw=along, alt="exposure over what was learned, by arm"),
    ]
    return drawing("exposure", "Secrets known by heart", f"{seeds}; thin: one seed; dashes: chance", panels)
