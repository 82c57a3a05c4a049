"""Grafts, intruders and revival: the pass rules of README.md."""

from __future__ import annotations

import numpy as np
import pandas as pd

from analyses.outcomes import Finding, Prediction, judge
from analyses.readings import at_end
from sft_probe.schema import RELEARNING

FULL, LORA = "full", "lora"
FACTS = "world_facts"
BLOCKS = 4  # the most of rule 7
EXPECTED = 2.3  # doublings, of a published ratio below 0.2


def by_kind(rows: pd.DataFrame, arm: str, metric: str, column: str = "value") -> pd.DataFrame:
    """A number of grafts on old facts, summed over the layers: seeds down, kinds of module across.

    column: "value", or "null_value" for the same change shuffled.
    """
    found = rows[(rows["arm"] == arm) & (rows["probe"] == "grafting") & (rows["step"] > 0)]
    found = found[(found["metric"] == metric) & (found["dataset"] == FACTS)]
    return found.pivot_table(index="seed", columns="module", values=column, aggfunc="sum")


def carried(rows: pd.DataFrame, arm: str) -> pd.DataFrame:
    """Per seed: `blocks` taken (at most four), the `share` of the gain they carry, and `even`, their share of
    all blocks that were changed; NaN where the search took none.
    """
    found = rows[(rows["arm"] == arm) & (rows["probe"] == "grafting") & (rows["step"] > 0)]
    found = found[found["metric"] == "graft_carried"].assign(blocks=lambda own: own["stratum"].astype(int))
    most = found[found["blocks"] <= BLOCKS].sort_values("blocks").groupby("seed").tail(1).set_index("seed")
    named = most[["blocks", "value", "null_value"]].rename(columns={"value": "share", "null_value": "even"})
    return named.reindex(seeds_of(rows, arm))


def doublings_saved(rows: pd.DataFrame, arm: str) -> pd.Series:
    """log2(steps to learn / steps to revive) by seed; news that was never learned took all steps. NaN where
    what was lost did not return, or too little was lost to try.
    """
    own = rows[(rows["arm"] == arm) & (rows["probe"] == RELEARNING)]
    learn, revive = (
        own[own["metric"] == f"steps_to_{what}"].set_index("seed")["value"].reindex(seeds_of(rows, arm))
        for what in ("learn", "revive")
    )
    last = own["module"].str.extract(r"step (\d+)", expand=False).astype(float).max()
    return np.log2(learn.fillna(last) / revive)


def seeds_of(rows: pd.DataFrame, arm: str) -> list[int]:
    """Every seed of an arm, whether or not a number is there."""
    return sorted(rows.loc[rows["arm"] == arm, "seed"].unique())


def intruding(rows: pd.DataFrame, arm: str, metric: str) -> pd.Series:
    """A number of intruders over all matrices, by seed."""
    return at_end(rows, arm, "intruder_dimensions", metric, module="all")


def shrunk(rows: pd.DataFrame, metric: str) -> pd.Series:
    """What shrinking LoRA's intruders does, by seed."""
    return at_end(rows, LORA, "intruder_shrinkage", metric)


def judged(rows: pd.DataFrame) -> list[Finding]:
    """The eight rules."""
    return [*_grafts(rows), *_intruders(rows), _few(rows), _revival(rows)]


def _grafts(rows: pd.DataFrame) -> list[Finding]:
    restored = -by_kind(rows, FULL, "graft_necessity")
    own, shuffled = (by_kind(rows, FULL, "graft_sufficiency", column) for column in ("value", "null_value"))
    return [
        judge(
            Prediction(
                key="1",
                sentence="the MLPs hold the harm to old facts",
                number="restored by MLPs minus by attention",
            ),
            restored["mlp"] - restored["attention"],
            what=f"restored by MLPs {restored['mlp'].mean():.2f}, by attention "
            f"{restored['attention'].mean():.2f} nats; difference",
            digits=2,
        ),
        judge(
            Prediction(
                key="2",
                sentence="the harm of the MLPs is their content, not their size",
                number="lead with shuffled minus with own MLP changes",
            ),
            shuffled["mlp"] - own["mlp"],
            what=f"own changes {own['mlp'].mean():+.2f}, shuffled {shuffled['mlp'].mean():+.2f} nats; "
            "difference",
            digits=2,
        ),
    ]


def _intruders(rows: pd.DataFrame) -> list[Finding]:
    lora, full = (intruding(rows, arm, "intruder_score") for arm in (LORA, FULL))
    nulls = [intruding(rows, LORA, f"intruder_score_{kind}") for kind in ("gaussian", "rotated")]
    drift, task = (shrunk(rows, f"shrunk_{what}_change") for what in ("drift", "task_loss"))
    return [
        judge(
            Prediction(
                key="3",
                sentence="LoRA has more intruders than full fine-tuning",
                number="score, LoRA minus full",
            ),
            lora - full,
            what=f"LoRA {lora.mean():.3f}, full {full.mean():.3f}; difference",
        ),
        judge(
            Prediction(key="4", sentence="… and than a random change of its size", number="score minus null"),
            lora - pd.DataFrame(nulls).max(skipna=False),
            what="score minus null",
        ),
        judge(
            Prediction(
                key="5",
                sentence="intruders carry forgetting rather than the task",
                number="fall of drift minus rise of task loss",
            ),
            -drift - task,
            what=f"drift {drift.mean():+.3f}, task loss {task.mean():+.3f} nats/token; difference",
        ),
        judge(
            Prediction(
                key="6",
                sentence="… more than the neighbour by strength",
                number="drift, neighbour shrunk minus intruder shrunk",
            ),
            -shrunk(rows, "shrunk_drift_extra"),
            what="difference in nats/token",
        ),
    ]


def _few(rows: pd.DataFrame) -> Finding:
    found = carried(rows, FULL)
    return judge(
        Prediction(
            key="7",
            sentence="a few blocks carry the task (exploratory)",
            number="share of the gain minus share of the blocks",
        ),
        found["share"] - found["even"],
        what=f"{found['blocks'].mean():.1f} blocks carry {found['share'].mean():.2f}; beyond their share",
        digits=2,
    )


def _revival(rows: pd.DataFrame) -> Finding:
    return judge(
        Prediction(
            key="8",
            sentence="what was lost comes back before news is learned",
            rule=f"doublings saved above 0 (published: above {EXPECTED})",
        ),
        doublings_saved(rows, FULL),
        what="doublings saved",
        digits=2,
    )
