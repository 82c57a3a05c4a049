"""Run both studies, judge the predictions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas as pd

from analyses.figures import drawing
from analyses.new_facts.rules import HALF, SHARES, WEAK, findings, right
from analyses.questions import Question, carry_out, command_line, publish, study_of
from sft_probe import RunStore

if TYPE_CHECKING:
    from matplotlib.axes import Axes

QUESTION = Question(name="new_facts", title="What do facts that are new to the base do to those it had?")
CLASSES = {"K1": "people read of often", "K4": "people read of a few times", "U": "people never read of"}


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0 when the runs came to their end, whatever the outcome."""
    given = command_line(QUESTION, argv)
    spec = study_of(QUESTION, given)
    inside = study_of(QUESTION, given, file="blocks.yaml", part="blocks")
    for each in (spec, inside):
        carry_out(each, given)
    study, blocks = (RunStore(each.output_dir).measurements() for each in (spec, inside))
    publish(
        QUESTION,
        given,
        findings(study, blocks),
        {"facts": spec.output_dir, "blocks": inside.output_dir},
        figures={"told": figure(study)},
        more=table(study),
    )
    return 0


def table(study: pd.DataFrame) -> str:
    """Right answers of every arm at its best look and at its end, as Markdown: means over seeds."""
    lines = [
        "Share of right answers about people who were not trained on, best look and end, means over seeds:",
        "",
        "| arm | " + " | ".join(CLASSES.values()) + " |",
        "|---" * (len(CLASSES) + 1) + "|",
    ]
    told = {kind: right(study, kind).groupby(level=["arm", "seed"]) for kind in CLASSES}
    for arm in (*SHARES, HALF, WEAK):
        cells = []
        for courses in told.values():
            best, end = (
                values.groupby(level="arm").mean().get(arm) for values in (courses.max(), courses.last())
            )
            cells.append("-" if best is None or end is None else f"{best:.2f}, {end:.2f}")
        lines.append(f"| {arm} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def figure(study: pd.DataFrame) -> str:
    """Right answers over training, one panel per class of people, a line per share of unknown facts."""
    from sft_probe.report.charts import COLOURS, MARKERS, Panel, in_percent, step_axis

    def drawn(kind: str) -> Panel:
        means = right(study, kind).groupby(level=["arm", "step"]).mean()

        def draw(axes: Axes) -> None:
            for place, (arm, share) in enumerate(SHARES.items()):
                if arm in means.index.get_level_values("arm"):
                    own = means.loc[arm]
                    axes.plot(
                        own.index,
                        own,
                        marker=MARKERS[place],
                        color=COLOURS[place],
                        markersize=4,
                        label=f"{100 * share:.0f} %",
                    )
            step_axis(axes, sorted(means.index.get_level_values("step").unique()), "step")
            in_percent(axes, vertical=True)
            axes.set_ylim(0, 1)
            axes.set_ylabel("right answers, %")
            axes.legend(frameon=False, fontsize=7, title="unknown", title_fontsize=7)

        return Panel(title=CLASSES[kind], draw=draw, alt=f"Right answers about {CLASSES[kind]}")

    return drawing(
        "told",
        "What is told of whom, by the share of unknown facts that were trained",
        "Right answers (word for word) about people who were not trained on, means over seeds",
        [drawn(kind) for kind in CLASSES],
    )
