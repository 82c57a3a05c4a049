"""Sentences that stand under or instead of a figure: what was measured on what, or why it was not."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

    from sft_probe.report.findings import Findings
    from sft_probe.report.material import Material
    from sft_probe.report.words import Words


def subtitle(found: Findings, words: Words, probe: str, rows: pd.DataFrame) -> str:
    """Measure, data, number of items and clusters, seeds, and what the interval covers."""
    items, clusters = rows["n"].max(), rows["n_clusters"].max()
    parts = [words.measure(probe)]
    if names := [name for name in rows["dataset"].unique() if name]:
        parts.append(words("subtitle.data", data=words.listed(map(words.data, names))))
    if isfinite(items) and items > 1:
        parts.append(words("subtitle.items", n=f"{items:,.0f}"))
    if isfinite(clusters) and 1 < clusters < items:
        parts.append(words("subtitle.clusters", n=f"{clusters:,.0f}"))
    parts.append(seeds_phrase(found.material, words))
    return "; ".join(parts) + words("stop")


def seeds_phrase(material: Material, words: Words) -> str:
    """ "1 seed" or "means of 2 seeds"."""
    return words("seeds.one" if material.seeds <= 1 else "seeds.many", n=material.seeds)


def absent(material: Material, probe: str, words: Words) -> str:
    """Why nothing of a probe can be shown."""
    if not material.arms:
        return words("absent.arms")
    rows = material.measurements[material.measurements["probe"] == probe]
    if rows.empty:
        asked = words("absent.interrupted") if material.unfinished else ""
        return words("absent.probe", probe=probe) + asked
    if (rows["step"] == 0).all():
        return words("absent.end", probe=probe)
    reasons = sorted({why for why in rows["why"] if why})
    return words("absent.undefined", probe=probe, why="; ".join(reasons) or "?")
