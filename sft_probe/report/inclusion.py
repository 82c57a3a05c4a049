"""Counterfactual memorisation: what having a row in training does to it.

For runs that drew anew which rows to train on, or which secrets to plant.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from sft_probe.stats.two_samples import inclusion_effect

if TYPE_CHECKING:
    import pandas as pd

    from sft_probe.stats.intervals import Interval

Included = Literal["secrets", "rows"]
METRICS: dict[Included, str] = {"secrets": "canary_logprob", "rows": "row_logprob"}
LEFT_OUT = "0 times"


@dataclass(frozen=True, slots=True, kw_only=True)
class Inclusion:
    """effect: mean over rows of (log p per token where trained on - where left out), in nats per token.

    Its interval is over runs and rows. by_item: the same of each row that was seen in both states.
    """

    effect: Interval
    by_item: pd.Series


def counterfactual_memorisation(items: pd.DataFrame, arm: str, of: Included = "secrets") -> Inclusion:
    """From the items of a store (`RunStore(folder).items()`): the last look of each run of an arm.

    The arm must have the edit `canaries` with `redraw` and 0 among its `repeats` (secrets), or the edit
    `hold_back` (rows), so that chance alone decides what a run has. Else nothing is seen in both states and
    the effect says so.
    Source: Zhang et al. 2023, Counterfactual Memorization in Neural Language Models (arXiv 2112.12938).
    """
    import pandas as pd

    rows = items[(items["arm"] == arm) & (items["metric"] == METRICS[of])]
    rows = rows[rows["step"] == rows.groupby("run")["step"].transform("max")]
    rows = rows.assign(planted=(rows["stratum"] != LEFT_OUT).astype(float))
    scores = rows.pivot(index="run", columns="item", values="value")
    planted = rows.pivot(index="run", columns="item", values="planted").to_numpy(dtype=np.float64)
    effect, differences = inclusion_effect(scores.to_numpy(dtype=np.float64), planted == 1)
    return Inclusion(effect=effect, by_item=pd.Series(differences, index=scores.columns).dropna())
