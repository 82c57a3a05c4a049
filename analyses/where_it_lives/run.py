"""Run the study, draw grafts by kind of module, judge the predictions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas as pd

from analyses.figures import drawing
from analyses.questions import Question, answer
from analyses.where_it_lives.rules import FULL, LORA, by_kind, judged

if TYPE_CHECKING:
    from matplotlib.axes import Axes

QUESTION = Question(name="where_it_lives", title="Where does it live, what was learned and what was lost?")


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0 when the run came to its end, whatever the outcome."""
    return answer(QUESTION, judged, {"old_facts_by_kind": grafts}, argv=argv)


def grafts(rows: pd.DataFrame, seeds: str) -> str:
    """What each kind of module does to the lead of right answers about old facts, both ways."""
    from sft_probe.report.charts import COLOURS, Panel, null_line

    ways = {
        "graft_sufficiency": "its change alone, in the base",
        "graft_necessity": "its change as the last one",
    }

    def panel(metric: str, arm: str) -> Panel:
        def draw(axes: Axes) -> None:
            for place, column in enumerate(("value", "null_value")):
                found = by_kind(rows, arm, metric, column)
                across = [x + 0.2 * (place - 0.5) for x in range(found.shape[1])]
                label = "own change" if column == "value" else "shuffled"
                for values in found.to_numpy():
                    axes.plot(across, values, "o", color=COLOURS[place], alpha=0.4, markersize=3)
                axes.plot(across, found.mean(), "_", color=COLOURS[place], markersize=14, label=label)
                axes.set_xticks(range(found.shape[1]), found.columns)
            null_line(axes, 0.0)
            axes.set_ylabel("lead, nats, summed over layers")
            axes.legend(frameon=False, fontsize=8)

        return Panel(title=f"{arm}: {ways[metric]}", draw=draw, alt=f"{metric} of {arm} by kind of module")

    panels = [panel(metric, arm) for arm in (FULL, LORA) for metric in ways]
    subtitle = f"change of the lead of right answers of world_facts, {seeds}; dash: their mean"
    return drawing("old_facts_by_kind", "Which modules harm old facts", subtitle, panels)
