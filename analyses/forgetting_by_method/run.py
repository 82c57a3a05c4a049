"""Run the study, place every arm at matched learning, judge the predictions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas as pd

from analyses.figures import drawing
from analyses.forgetting_by_method.rules import FAMILIES, courses, family_of, findings, table
from analyses.questions import Question, carry_out, command_line, publish, study_of
from sft_probe import RunStore

if TYPE_CHECKING:
    from matplotlib.axes import Axes

QUESTION = Question(name="forgetting_by_method", title="Which method forgets least at the same learning?")
SHOWN = (*FAMILIES, "dora16", "replay20", "l2sp", "kl")
NAMES = {
    "full": "full",
    "lora2": "LoRA 2",
    "lora16": "LoRA 16",
    "lora64": "LoRA 64",
    "dora16": "DoRA 16",
    "replay20": "full + replay 20 %",
    "l2sp": "full + L2-SP",
    "kl": "full + KL on text",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0 when the run came to its end, whatever the outcome."""
    given = command_line(QUESTION, argv)
    spec = study_of(QUESTION, given)
    carry_out(spec, given)
    found = courses(RunStore(spec.output_dir).measurements())
    publish(
        QUESTION,
        given,
        findings(found),
        {"methods": spec.output_dir},
        figures={"courses": figure(found)},
        more=arms_table(found),
    )
    return 0


def arms_table(found: pd.DataFrame) -> str:
    """Every arm as Markdown."""
    lines = [
        "Means over seeds, nats/token. *At the level*: forgetting at the loss that full fine-tuning and "
        "LoRA of rank 16 both reach, in the seeds where the arm reaches it. WiSE-FT acts at the end only.",
        "",
        "| arm | loss at the end | forgetting at the end | forgetting at the level | seeds there |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {arm} | {row.loss:.2f} | {row.forgotten:.3f} | "
        f"{'-' if pd.isna(row.at_level) else f'{row.at_level:.3f}'} | {row.reached:.0f} |"
        for arm, row in table(found).iterrows()
    ]
    return "\n".join(lines) + "\n"


def figure(found: pd.DataFrame) -> str:
    """Loss against forgetting along every course, one panel per family."""
    from sft_probe.report.charts import COLOURS, MARKERS, Panel

    means = found.groupby(["arm", "step"])[["loss", "forgotten"]].mean().reset_index()
    means["family"], means["rate"] = (
        family_of(means["arm"]),
        means["arm"].str.rpartition("_")[2].astype(float),
    )

    def drawn(family: str) -> Panel:
        own = means[means["family"] == family]

        def draw(axes: Axes) -> None:
            for place, (rate, course) in enumerate(own.groupby("rate")):
                axes.plot(
                    course["loss"],
                    course["forgotten"],
                    color=COLOURS[place],
                    marker=MARKERS[place],
                    markersize=4,
                    label=f"{rate:g}",
                )
            axes.set_xscale("log")
            axes.set_yscale("symlog", linthresh=0.01)
            axes.set_xlim(means["loss"].max() * 1.1, means["loss"].min() / 1.1)
            axes.set_ylim(min(0.0, means["forgotten"].min()), means["forgotten"].max() * 1.3)
            axes.set_xlabel("loss on the task (learned →)")
            axes.set_ylabel("forgetting")
            axes.legend(frameon=False, fontsize=7, title="rate", title_fontsize=7)

        title = NAMES.get(family, family)
        return Panel(title=title, draw=draw, alt=f"Forgetting against loss with {title}")

    return drawing(
        "courses",
        "What is forgotten on the way to the same loss",
        "Forgetting (cross-entropy with what the base would say, nats/token) against loss of new answers "
        "(nats/token), means over seeds, looks joined",
        [drawn(family) for family in SHOWN if (means["family"] == family).any()],
    )
