"""The frontier and the pass rules of README.md as code."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from sft_probe import RunStore

FREE = "rate_2e-3"
HELD = "replay l2_sp ewc kl_task kl_text kl_text_reverse constrained ema wise_ft".split()


def placed(store: RunStore) -> pd.DataFrame:
    """By arm: `learned`, `kept`, and `above` the curve of learning rates at what was learned."""
    rows = store.measurements()
    last = rows[(rows.arm != "base") & (rows.step == rows.groupby("run").step.transform("max"))]
    last = last[(last.stratum == "") & (last.layer < 0)]
    learned = last[(last.probe == "task_alignment") & (last.metric == "exact_match")].set_index("arm").value
    kept = last[(last.probe == "forgetting") & (last.metric == "accuracy") & (last.dataset == "all")]
    return above_curve(pd.DataFrame({"learned": learned, "kept": kept.set_index("arm").value}))


def above_curve(found: pd.DataFrame) -> pd.DataFrame:
    """`learned` and `kept` by arm, and how much more is kept than by `rate_*` at the same gain."""
    curve = found[found.index.str.startswith("rate_")].sort_values("learned")
    return found.assign(above=found.kept - np.interp(found.learned, curve.learned, curve.kept))


def outcome(found: pd.DataFrame) -> str:
    """All arms, and the outcome of every prediction, as Markdown."""
    free = found.kept[FREE]
    verdicts = {
        "1. every regulariser keeps more": bool((found.kept[HELD] > free).all()),
        "2. replay and KL on generic text lie above": bool(
            (found.above[["replay", "kl_text", "kl_text_reverse"]] >= 0.02).all()
        ),
        "3. L2-SP and EWC lie on the curve": bool((found.above[["l2_sp", "ewc"]].abs() <= 0.05).all()),
        "4. label smoothing does not hold": bool(abs(found.kept["label_smoothing"] - free) <= 0.05),
        "5. merging changes nothing": bool(
            (found.loc["lora_merge"] - found.loc["lora"])[["learned", "kept"]].abs().max() <= 0.01
        ),
    }
    arms = ["| arm | learned | kept | above the curve |", "|---|---|---|---|"]
    arms += [
        f"| {arm} | {row.learned:.3f} | {row.kept:.3f} | {row.above:+.3f} |" for arm, row in found.iterrows()
    ]
    rules = ["| prediction | outcome |", "|---|---|"]
    rules += [f"| {name} | {'**met**' if met else '**not met**'} |" for name, met in verdicts.items()]
    return "\n".join([*arms, "", *rules]) + "\n"
