"""Which metrics of a probe stand for it where there is room for a few only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

PARTS = frozenset("gained lost churn numeric_churn kept never mcnemar_p".split())  # of what others say
FEW = 3


def headlines(abouts: Mapping[str, Mapping[str, Any]], rows: pd.DataFrame) -> dict[str, tuple[str, ...]]:
    """By probe the metrics it names first; else those of which more or less is better, else its first ones.

    rows: measurements of any kind.  A change is left out beside the metric whose change it is.
    """
    found = {}
    for probe, own in rows[rows["value"].notna()].groupby("probe", sort=False):
        known = [metric for metric in dict.fromkeys(own["metric"]) if metric not in PARTS]
        known = [m for m in known if m.removesuffix("_change") == m or m.removesuffix("_change") not in known]
        named = [metric for metric in abouts.get(str(probe), {}).get("headline") or () if metric in known]
        directed = set(own["metric"][own["better"] != "neither"])
        found[str(probe)] = tuple(named or [metric for metric in known if metric in directed] or known[:FEW])
    return found
