"""The pass rules of README.md as pure functions over the tidy table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from analyses.outcomes import Finding, Prediction, judge
from sft_probe.measures.frontier import first_at

if TYPE_CHECKING:
    from numpy.typing import NDArray

FULL, LORA2, LORA16, LORA64 = "full", "lora2", "lora16", "lora64"
FAMILIES = (FULL, LORA2, LORA16, LORA64)
HIGHEST = "lora16_1e-2"
REPLAY: Mapping[float, str] = {
    0.0: "full_1e-3",
    0.01: "replay1_1e-3",
    0.05: "replay5_1e-3",
    0.2: "replay20_1e-3",
}
PENALTY = "l2sp_1e-3"
ABOVE_LEVEL = 1.1  # of the higher of both lowest losses

PREDICTIONS = (
    Prediction(
        key="1",
        sentence="At the same loss LoRA (r 16) has forgotten less than full fine-tuning",
        number="forgetting at the level, full less LoRA 16",
    ),
    Prediction(
        key="2",
        sentence="LoRA of rank 2 learns less than full fine-tuning",
        number="lowest loss, LoRA 2 less full",
    ),
    Prediction(key="3", sentence="A higher rank learns more", number="lowest loss, LoRA 2 less LoRA 64"),
    Prediction(
        key="4",
        sentence="At its highest rate LoRA has forgotten more than full fine-tuning at its best",
        number="forgetting at the level, LoRA 16 at 1e-2 less full",
    ),
    Prediction(
        key="5",
        sentence="Along one training forgetting is linear in the loss, and falls with it",
        number="mean R² of falling lines",
        bound=0.8,
    ),
    Prediction(
        key="6",
        sentence="The line is not the same for all methods",
        number="mean R² less R² of one line",
    ),
    Prediction(
        key="7",
        sentence="The more replay, the less is forgotten",
        number="Spearman of share and forgetting, turned round,",
    ),
    Prediction(
        key="8",
        sentence="5 % of replay does most of what 20 % does",
        number="forgetting saved by 5 % less half of that saved by 20 %",
    ),
    Prediction(
        key="9",
        sentence="5 % of replay costs the task nothing",
        number="loss with less without",
        margin=0.2,
    ),
    Prediction(
        key="10", sentence="Replay of 20 % forgets less than L2-SP", number="forgetting, L2-SP less replay"
    ),
)


def courses(measurements: pd.DataFrame) -> pd.DataFrame:
    """One row per arm, seed and look: `arm`, `seed`, `step`, `loss` and `forgotten`, in nats per token."""
    rows = measurements[(measurements["arm"] != "base") & (measurements["stratum"] == "")]
    keys = ["arm", "seed", "step"]
    loss = rows[(rows["probe"] == "task_alignment") & (rows["metric"] == "answer_logprob")]
    lost = rows[
        (rows["probe"] == "label_free_forgetting") & (rows["metric"] == "base_argmax_cross_entropy_change")
    ]
    found = (-loss.set_index(keys)["value"]).rename("loss").to_frame()
    return found.join(lost.set_index(keys)["value"].rename("forgotten")).reset_index().sort_values(keys)


def findings(found: pd.DataFrame) -> list[Finding]:
    """Every prediction of the README, one number per seed. found: as of `courses`."""
    numbers = [numbers_of(own) for _, own in found.groupby("seed")]
    return [judge(one, [number[one.key] for number in numbers]) for one in PREDICTIONS]


def numbers_of(own: pd.DataFrame) -> dict[str, float]:
    """The numbers of one seed by prediction; NaN where arms are missing."""
    level = level_of(own)
    end = own.loc[own.groupby("arm")["step"].idxmax()].set_index("arm")
    forgotten, loss = (end[column].to_dict() for column in ("forgotten", "loss"))
    kept = [forgotten.get(arm, np.nan) for arm in REPLAY.values()]
    best = {family: lowest_loss(own, family) for family in FAMILIES}
    full = at_level(own, FULL, level)
    highest = matched(own[own["arm"] == HIGHEST], level)
    lines, one = linear(own)
    return {
        "1": full - at_level(own, LORA16, level),
        "2": best[LORA2] - best[FULL],
        "3": best[LORA2] - best[LORA64],
        "4": (highest if np.isfinite(highest) else forgotten.get(HIGHEST, np.nan)) - full,
        "5": lines,
        "6": lines - one,
        "7": -float(spearmanr(list(REPLAY), kept).statistic) if np.isfinite(kept).all() else np.nan,
        "8": (kept[0] - kept[2]) - (kept[0] - kept[3]) / 2,
        "9": loss.get(REPLAY[0.05], np.nan) - loss.get(REPLAY[0.0], np.nan),
        "10": forgotten.get(PENALTY, np.nan) - kept[3],
    }


def family_of(arms: pd.Series) -> pd.Series:
    """What stands before the rate in the names of arms."""
    return arms.str.rpartition("_")[0]


def lowest_loss(own: pd.DataFrame, family: str) -> float:
    """Over the rates and looks of a family; NaN without any."""
    return float(own.loc[family_of(own["arm"]) == family, "loss"].min())


def level_of(own: pd.DataFrame) -> float:
    """The loss that full fine-tuning and LoRA of rank 16 both reach at some rate. NaN if one is missing."""
    return ABOVE_LEVEL * float(np.max([lowest_loss(own, family) for family in (FULL, LORA16)]))


def at_level(own: pd.DataFrame, family: str, level: float) -> float:
    """Least forgetting over the rates of a family where it gets to the level; NaN if it does not."""
    mine = own[family_of(own["arm"]) == family]
    found = [matched(course, level) for _, course in mine.groupby("arm")]
    return float(np.nanmin(found)) if np.isfinite(found).any() else np.nan


def matched(course: pd.DataFrame, level: float) -> float:
    """Forgetting where the course of one arm first gets to a loss; NaN if it never does."""
    if course.empty or not np.isfinite(level):
        return np.nan
    course = course.sort_values("step")
    place = first_at(-course["loss"].to_numpy(float), -level)
    return float(place.of(course["forgotten"].to_numpy(float))) if place else np.nan


def linear(own: pd.DataFrame) -> tuple[float, float]:
    """R² of a falling line through the looks of each full or LoRA arm, their mean; and that of one line."""
    mine = own[family_of(own["arm"]).isin(FAMILIES) & (own["step"] > 0)]
    within_arms = [
        falling_r2(course["loss"].to_numpy(float), course["forgotten"].to_numpy(float))
        for _, course in mine.groupby("arm")
    ]
    one = falling_r2(mine["loss"].to_numpy(float), mine["forgotten"].to_numpy(float))
    return (float(np.mean(within_arms)) if within_arms else np.nan), one


def falling_r2(loss: NDArray[np.float64], forgotten: NDArray[np.float64]) -> float:
    """R² of a least-squares line; its negative where the line does not fall. NaN below three points."""
    if loss.size < 3 or np.ptp(loss) == 0 or np.ptp(forgotten) == 0:
        return np.nan
    r = float(np.corrcoef(loss, forgotten)[0, 1])
    return r**2 if r < 0 else -(r**2)


def table(found: pd.DataFrame) -> pd.DataFrame:
    """By arm, means over seeds: loss and forgetting at the end, forgetting at the level, and in how many
    seeds the level was reached."""
    end = found.loc[found.groupby(["arm", "seed"])["step"].idxmax()]
    places = [
        {"arm": arm, "at_level": matched(course, level_of(own))}
        for _, own in found.groupby("seed")
        for arm, course in own.groupby("arm")
    ]
    grouped = pd.DataFrame(places).groupby("arm")["at_level"]
    means = end.groupby("arm")[["loss", "forgotten"]].mean()
    return means.assign(at_level=grouped.mean(), reached=grouped.count())
