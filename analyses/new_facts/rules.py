"""The pass rules of README.md as pure functions over the tidy tables of the two studies."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from analyses.outcomes import Finding, Prediction, judge
from sft_probe.measures.frontier import first_at

SHARES: Mapping[str, float] = {f"unknown_{share}": share / 100 for share in (0, 25, 50, 75, 100)}
KNOWN_ALONE, MIXED, UNKNOWN, HALF, WEAK = "unknown_0", "unknown_50", "unknown_100", "half", "weak"
FITTED = 0.2  # nats per token of training loss
STILL = 0.1  # share of attention that may move
FACTS = "world_facts"

LEARNED = (
    Prediction(
        key="1",
        sentence="Unknown facts take longer to fit",
        number="steps to fit, unknown over known,",
        bound=1.5,
    ),
    Prediction(
        key="2",
        sentence="At the end, the more facts were unknown the fewer known ones are told",
        number="slope of right answers over the share, turned round,",
    ),
    Prediction(
        key="3",
        sentence="Stopped early, unknown facts do no harm",
        number="right answers at the best look, half unknown less the known half alone,",
        margin=0.05,
    ),
    Prediction(
        key="4",
        sentence="Training on costs more where facts were unknown",
        number="fall from the best look to the end, all unknown less all known,",
    ),
    Prediction(
        key="5",
        sentence="Weakly known facts teach to tell weakly known facts",
        number="right answers on K4, trained on K4 less trained on K1,",
    ),
)
PLACED = (
    Prediction(key="6", sentence="New individuals cost old facts", number="accuracy lost on world_facts"),
    Prediction(
        key="7",
        sentence="What the MLPs add moves more than where attention looks",
        number="relative drift of MLP outputs less share of attention that moved",
    ),
    Prediction(key="8", sentence="Attention patterns stay", number="0.1 less share of attention that moved"),
    Prediction(
        key="9",
        sentence="MLPs of the base, put back, restore more of old facts than attention does",
        number="lead restored in nats, MLP less attention,",
    ),
)


def findings(study: pd.DataFrame, blocks: pd.DataFrame) -> list[Finding]:
    """Every prediction of the README. study, blocks: measurements of the two studies."""
    told, fits = right(study, "K1"), losses(study, MIXED)
    weak = right(study, "K4")
    of_facts = [facts_of(told, fits, weak, seed) for seed in seeds_of(study)]
    of_blocks = [blocks_of(blocks[blocks["seed"] == seed]) for seed in seeds_of(blocks)]
    pairs = ((LEARNED, of_facts), (PLACED, of_blocks))
    return [judge(one, [seed[one.key] for seed in found]) for group, found in pairs for one in group]


def seeds_of(measurements: pd.DataFrame) -> list[int]:
    """Training seeds, the base left out."""
    return sorted(measurements.loc[measurements["arm"] != "base", "seed"].unique().tolist())


def right(study: pd.DataFrame, stratum: str) -> pd.Series:
    """Share of right answers about people of a class, by arm, seed and step."""
    rows = study[(study["probe"] == "task_alignment") & (study["metric"] == "exact_match")]
    rows = rows[(rows["arm"] != "base") & (rows["stratum"] == stratum)]
    return rows.set_index(["arm", "seed", "step"])["value"].sort_index()


def losses(study: pd.DataFrame, arm: str) -> pd.Series:
    """Training loss by class, seed and step of one arm: the mean per token since the look before."""
    looks = np.unique(study.loc[(study["probe"] == "task_alignment") & (study["step"] > 0), "step"])
    rows = study[(study["metric"] == "stratum_loss") & (study["arm"] == arm)]
    ends = looks[np.searchsorted(looks, rows["step"])]
    sums = rows.assign(step=ends, whole=rows["value"] * rows["n"]).groupby(["stratum", "seed", "step"])
    whole, tokens = sums["whole"].sum(), sums["n"].sum()
    return whole / tokens


def facts_of(told: pd.Series, fits: pd.Series, weak: pd.Series, seed: int) -> dict[str, float]:
    """Numbers of the predictions about facts, of one seed; NaN where arms are missing."""
    ends = {arm: at_end(course(told, arm, seed)) for arm in SHARES}
    best = {arm: course(told, arm, seed).max() for arm in (*SHARES, HALF)}
    falls = {arm: best[arm] - ends[arm] for arm in (UNKNOWN, KNOWN_ALONE)}
    return {
        "1": fitted(course(fits, "U", seed)) / fitted(course(fits, "K1", seed)),
        "2": -slope(np.array(list(SHARES.values())), np.array(list(ends.values()))),
        "3": best[MIXED] - best[HALF],
        "4": falls[UNKNOWN] - falls[KNOWN_ALONE],
        "5": at_end(course(weak, WEAK, seed)) - at_end(course(weak, KNOWN_ALONE, seed)),
    }


def course(values: pd.Series, name: str, seed: int) -> pd.Series:
    """One arm or class and seed by step; empty if it is not there."""
    names, seeds = (values.index.get_level_values(level) for level in (0, 1))
    return values[(names == name) & (seeds == seed)].droplevel([0, 1])


def at_end(values: pd.Series) -> float:
    """At the last step; NaN without any."""
    return float(values.iloc[-1]) if len(values) else np.nan


def fitted(values: pd.Series) -> float:
    """Step at which a training loss first gets to `FITTED`; the last step if it never does."""
    if values.empty:
        return np.nan
    steps = values.index.to_numpy(float)
    place = first_at(-values.to_numpy(float), -FITTED)
    return float(place.of(steps)) if place else float(steps[-1])


def slope(x: np.ndarray, y: np.ndarray) -> float:
    """Of a least-squares line; NaN if a value is missing."""
    return float(np.polyfit(x, y, 1)[0]) if np.isfinite(y).all() else np.nan


def blocks_of(own: pd.DataFrame) -> dict[str, float]:
    """Numbers of the predictions about the network, of one seed at its end."""
    end = own[own["step"] == own["step"].max()]

    def mean(metric: str, module: str = "") -> float:
        rows = end[(end["metric"] == metric) & (end["module"] == module) & (end["layer"] >= 0)]
        return float(rows["value"].mean())

    def restored(module: str) -> float:
        rows = end[(end["metric"] == "graft_necessity") & (end["dataset"] == FACTS)]
        return -float(rows.loc[rows["module"] == module, "value"].sum(min_count=1))

    facts = end[(end["dataset"] == FACTS)].set_index("metric")["value"]
    fell = float(facts.get("graft_change", np.nan)) < 0
    return {
        "6": -float(facts.get("accuracy_change", np.nan)),
        "7": mean("relative_drift", "mlp") - mean("attention_moved_share"),
        "8": STILL - mean("attention_moved_share"),
        "9": restored("mlp") - restored("attention") if fell else np.nan,
    }
