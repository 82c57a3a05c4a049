"""The forgetting ledger of every arm: fates of documents, flips that seeds bring, times of losses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import nan
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from sft_probe.report.numbers import Value
from sft_probe.report.summaries import at_end
from sft_probe.stats.flips import excess_churn, first_loss, seed_flip_rate
from sft_probe.stats.intervals import Interval, cluster_codes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sft_probe.report.findings import Findings

KEPT, GAINED, NEVER, LOST = "kept", "gained", "never", "lost"
VERDICTS = ("form", "suppressed", "erased")
SEED = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """One arm. shares: of documents by fate, mean over seeds; a lost one has its verdict if asked again.

    chance: share of the lost that would have each verdict as never-known documents do. revived: share of the
    lost that came back, beyond that. seed_flips: share on which two seeds differ. excess: flips beyond those.
    """

    shares: Mapping[str, float]
    documents: int
    chance: Mapping[str, float] = field(default_factory=dict)
    revived: Value = field(default=Value(nan))
    seed_flips: Value = field(default=Value(nan))
    excess: Value = field(default=Value(nan))

    @property
    def lost(self) -> float:
        """Share of documents that were right and are wrong."""
        return sum(self.shares.get(name, 0.0) for name in (LOST, *VERDICTS))


@dataclass(frozen=True, slots=True, kw_only=True)
class Onset:
    """First look at which a loss is shown, NaN if at none; p: of the last look, adjusted for all looks."""

    step: float
    p: float


def ledgers(found: Findings) -> dict[str, Ledger]:
    """By arm; arms of which no document was seen before and after are left out."""
    made = {}
    for arm in found.arms:
        rows = found.benchmarks[found.benchmarks["arm"] == arm.name]
        shares, documents = _fates(found, arm.name)
        if not shares and rows.empty:
            continue
        if not shares:
            shares, documents = _plain(rows), int(rows.groupby("seed").size().max())
        flips, excess = _between_seeds(rows)
        made[arm.name] = Ledger(
            shares=shares,
            documents=documents,
            chance=_chance(found, arm.name),
            revived=_revived(found, arm.name),
            seed_flips=flips,
            excess=excess,
        )
    return made


def onsets(found: Findings, metric: str) -> dict[str, Onset]:
    """By arm, from the items "retained" or "retained_margin" at every look, mean over seeds."""
    own = found.material.items_of("forgetting_curve", metric)
    made = {}
    for arm in found.arms:
        mean = (
            own[own["arm"] == arm.name].groupby(["dataset", "item", "step"])["value"].mean().unstack("step")
        )
        mean = mean.dropna()
        if mean.shape[1] < 2 or len(mean) < 2:
            continue
        names = own[own["arm"] == arm.name].groupby(["dataset", "item"])["cluster"].first().loc[mean.index]
        clusters = _codes(names)
        changes = (mean.iloc[:, 1:].to_numpy(float) - mean.iloc[:, [0]].to_numpy(float)).T
        steps = [float(step) for step in mean.columns[1:]]
        first = first_loss(steps, changes, np.random.default_rng(SEED), clusters)
        made[arm.name] = Onset(step=first.step, p=float(first.p[-1]))
    return made


def _fates(found: Findings, arm: str) -> tuple[dict[str, float], int]:
    items = found.material.items
    own = items[(items["probe"] == "lost_items") & (items["arm"] == arm) & (items["step"] > 0)]
    if own.empty:
        return {}, 0
    own = own[own["step"] == own["step"].max()]
    counts = own["stratum"].value_counts(normalize=True)
    return {str(name): float(share) for name, share in counts.items() if share}, int(
        own.groupby("seed").size().max()
    )


def _plain(rows: pd.DataFrame) -> dict[str, float]:
    before, after = rows["before"] > 0.5, rows["after"] > 0.5
    masks = {KEPT: before & after, LOST: before & ~after, GAINED: ~before & after, NEVER: ~before & ~after}
    return {name: float(mask.mean()) for name, mask in masks.items()}


def _between_seeds(rows: pd.DataFrame) -> tuple[Value, Value]:
    """Flips between seeds, and flips from the base beyond those; undefined with one seed."""
    if rows.empty or rows["seed"].nunique() < 2:
        return Value(nan), Value(nan)
    table = rows.pivot_table(index="seed", columns=["dataset", "item"], values="after").dropna(axis=1)
    first = rows.groupby(["dataset", "item"]).agg(before=("before", "first"), cluster=("cluster", "first"))
    first = first.loc[table.columns]
    clusters = _codes(first["cluster"])
    scores = table.to_numpy(float)
    return (
        _value(seed_flip_rate(scores, clusters)),
        _value(excess_churn(first["before"].to_numpy(float), scores, clusters)),
    )


def _chance(found: Findings, arm: str) -> dict[str, float]:
    rows = at_end(found.material.measurements[found.material.measurements["probe"] == "lost_items"])
    rows = rows[(rows["arm"] == arm) & (rows["dataset"] == "all") & (rows["step"] > 0)]
    nulls = {name: rows[rows["metric"] == f"{name}_share"]["null_value"].mean() for name in VERDICTS}
    return {name: float(null) for name, null in nulls.items() if pd.notna(null)}


def _revived(found: Findings, arm: str) -> Value:
    rows = found.rows("revived_beyond_chance", probe="lost_items")
    rows = rows[(rows["arm"] == arm) & (rows["dataset"] == "all")]
    if rows.empty:
        return Value(nan)
    return Value(*(float(rows[name].iloc[0]) for name in ("value", "ci_low", "ci_high")))


def _codes(clusters: pd.Series) -> NDArray[np.int64]:
    """Clusters of two tasks are different even if they share a name."""
    return cluster_codes(
        [f"{key[0]}\n{name}" if name else "" for key, name in zip(clusters.index, clusters, strict=True)]
    )


def _value(found: Interval) -> Value:
    return Value(found.value, found.low, found.high)
