"""What foretells forgetting: one row per run of a study, and every predictor on the same runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import isfinite, log10, nan
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from sft_probe.stats.prediction import FEWEST, Foretold, compare_predictors, permuted_r2

if TYPE_CHECKING:
    from sft_probe.report.material import Material

SEED = 0


@dataclass(frozen=True, slots=True)
class Source:
    """Rows that a number per run is the mean of; of several sources the first that a study has counts."""

    probe: str
    metric: str
    module: str = ""
    dataset: str | None = None
    turn: Callable[[float], float] = float

    def of(self, rows: pd.DataFrame) -> pd.Series:
        """By run. Layers and, where the data set is not fixed, data sets are averaged."""
        own = rows[(rows["probe"] == self.probe) & (rows["metric"] == self.metric) & (rows["stratum"] == "")]
        own = own[(own["module"] == self.module) & own["value"].notna()]
        if self.dataset is not None:
            own = own[own["dataset"] == self.dataset]
        if self.module and (own["layer"] == -1).any():
            own = own[own["layer"] == -1]
        return own.groupby("run")["value"].mean().map(self.turn)


def _lost(value: float) -> float:
    return -value


PREDICTORS: Mapping[str, tuple[Source, ...]] = {
    "forward_kl": (
        Source("objective_shift", "forward_kl_sampled", "sampled"),
        Source("token_shift", "kl_base_tuned", "sampled"),
        Source("objective_shift", "forward_kl", "base"),
    ),
    "reverse_kl": (
        Source("objective_shift", "reverse_kl", "tuned"),
        Source("token_shift", "kl_tuned_base", "tuned"),
    ),
    "teacher_forced_kl": (
        Source("objective_shift", "gold_kl", "gold"),
        Source("token_shift", "kl_tuned_base", "gold"),
    ),
    "weight_norm": (Source("weight_change", "relative_norm", "all"),),
    "cka_drift": (Source("representation_drift", "cka", turn=lambda value: 1 - value),),
    "intruder_score": (Source("intruder_dimensions", "intruder_score", "all"),),
}
OUTCOMES: Mapping[str, tuple[Source, ...]] = {
    "accuracy": (Source("forgetting", "accuracy_change", dataset="all", turn=_lost),),
    "margin": (Source("forgetting", "margin_change", dataset="all", turn=_lost),),
    "label_free": (Source("label_free_forgetting", "base_argmax_cross_entropy_change"),),
}
RATE, LOSS = "learning_rate", "training_loss"


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Predictors of one outcome. null: what a predictor without bearing on it reaches in 95 % of cases."""

    outcome: str
    runs: int
    arms: int
    by_predictor: Mapping[str, Foretold]
    null: float
    points: pd.DataFrame


def compare(material: Material) -> tuple[Comparison, ...]:
    """One comparison per outcome that the study measured; none below six runs."""
    table = per_run(material)
    found = (_comparison(table, outcome) for outcome in OUTCOMES if outcome in table)
    return tuple(comparison for comparison in found if comparison is not None)


def per_run(material: Material) -> pd.DataFrame:
    """One row per run at its last step: `arm`, predictors and outcomes as far as they were measured."""
    rows = material.measurements
    if rows.empty:
        return pd.DataFrame({"arm": []})
    last = rows.groupby(["run", "probe"])["step"].transform("max")
    ends = rows[(rows["step"] == last) & (rows["step"] > 0)]
    columns: dict[str, pd.Series] = {"arm": ends.groupby("run")["arm"].first()}
    for name, sources in {**PREDICTORS, **OUTCOMES}.items():
        values = next((own for source in sources if not (own := source.of(ends)).empty), None)
        if values is not None:
            columns[name] = values
    table = pd.DataFrame(columns)
    rates = {arm.name: log10(arm.learning_rate) if arm.learning_rate else nan for arm in material.arms}
    table[RATE] = table["arm"].map(rates)
    log = material.train_log
    loss = log[log["metric"] == "loss"].sort_values("step").groupby("run")["value"].last()
    table[LOSS] = loss.reindex(table.index)
    return table.dropna(axis="columns", how="all")


def _comparison(table: pd.DataFrame, outcome: str) -> Comparison | None:
    """Predictors that every run has; those that some runs lack cannot be compared with the others."""
    own = table[table[outcome].notna()]
    names = [name for name in (*PREDICTORS, RATE, LOSS) if name in own and own[name].notna().all()]
    if len(own) < FEWEST or not names or not own[outcome].nunique() > 1:
        return None
    values, goal = own[names].to_numpy(float).T, own[outcome].to_numpy(float)
    found = compare_predictors(values, goal, np.random.default_rng(SEED))
    nulls = [permuted_r2(row, goal, np.random.default_rng(SEED)) for row in values]
    known = [null for null in nulls if isfinite(null)]
    return Comparison(
        outcome=outcome,
        runs=len(own),
        arms=own["arm"].nunique(),
        by_predictor=dict(zip(names, found, strict=True)),
        null=max(known) if known else nan,
        points=own[["arm", *names, outcome]],
    )
