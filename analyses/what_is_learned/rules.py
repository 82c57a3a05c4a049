"""The pass rules of README.md as pure functions over the tidy tables of the four studies."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from analyses.outcomes import Finding, Prediction, judge
from sft_probe.measures.waterfall import BASE, FORMAT, FULL, KNOWN, Term, steps

QUESTIONS, REVIEWS, ORDERS, NEWS = "question_answering", "sentiment", "json_extraction", "summarise"
FORMED = (REVIEWS, ORDERS, NEWS)
FEW, DEALT = "few", "dealt"
STRICT, LIKELY = "exact_match", "answer_logprob"
HELD_OUT, TRAINED = "E0", "E1"

PREDICTIONS = (
    Prediction(
        key="1",
        sentence="Questions about known facts: most of the gain is form and knowledge drawn out",
        number="format and elicited less half of the whole",
    ),
    Prediction(
        key="2",
        sentence="There, knowledge drawn out counts more than form",
        number="elicited less format",
    ),
    Prediction(
        key="3",
        sentence="There, hardly anything is injected",
        number="half of the whole less injected",
    ),
    Prediction(
        key="4",
        sentence="Classification: most of the gain in right answers is the label space",
        number="gain with answers dealt out less half of the whole gain",
    ),
    Prediction(
        key="5",
        sentence="Classification: thirty rows bring out most of the mapping",
        number="what thirty rows add to the form less half of what all rows add",
    ),
    Prediction(
        key="6",
        sentence="All but questions: most of the gain in likelihood is form",
        number="smallest share of form less ½",
    ),
    Prediction(
        key="7",
        sentence="Extraction and summarising: answers come to belong to their passage",
        number="smaller gain over answers dealt out",
    ),
    Prediction(
        key="8",
        sentence="Extraction and summarising: that needs more than thirty rows",
        number="smaller gain over thirty rows",
    ),
)


def at_end(measurements: pd.DataFrame, probe: str, metric: str, stratum: str = "") -> pd.DataFrame:
    """One number per arm and seed at its last step, seeds down; column `base` holds the base's."""
    rows = measurements[(measurements["probe"] == probe) & (measurements["metric"] == metric)]
    rows = rows[rows["stratum"] == stratum]
    tuned = rows[(rows["arm"] != BASE) & (rows["step"] > 0)]
    last = tuned[tuned["step"] == tuned.groupby(["arm", "seed"])["step"].transform("max")]
    before = rows.loc[rows["step"] == 0, "value"]
    found = last.pivot_table(index="seed", columns="arm", values="value")
    return found.assign(**{BASE: float(before.iloc[0]) if len(before) else np.nan})


def accounts(measurements: pd.DataFrame, stratum: str) -> pd.DataFrame:
    """Steps of a stratum of the decomposed study and their `whole`, seeds down; NaN without an arm."""
    arms = {BASE: BASE, FULL: "full", FORMAT: "full.format", KNOWN: "full.known"}
    strata = dict.fromkeys((HELD_OUT, stratum))
    scores = {name: at_end(measurements, "gain_waterfall", "strict_accuracy", name) for name in strata}
    seeds = scores[stratum].index

    def value(term: Term) -> pd.Series:
        own = scores[term.stratum]
        return term.weight * own.get(arms[term.arm], pd.Series(np.nan, index=seeds))

    found = pd.DataFrame({name: sum(map(value, terms)) for name, terms in steps_of(stratum).items()})
    return found.assign(whole=found.sum(axis=1, skipna=False))


def steps_of(stratum: str) -> Mapping[str, tuple[Term, ...]]:
    """The steps of a stratum by name, as sums of scores."""
    return {str(name): terms for name, terms in steps(stratum).items()}


def table(studies: Mapping[str, pd.DataFrame], metric: str) -> pd.DataFrame:
    """By task and seed what a score is in the base, with answers dealt out, with few rows and with all."""
    found = {task: at_end(studies[task], "task_alignment", metric) for task in FORMED}
    whole = pd.concat(found, names=["task"])
    return whole.reindex(columns=[BASE, DEALT, FEW, FULL])


def findings(studies: Mapping[str, pd.DataFrame]) -> list[Finding]:
    """Every prediction of the README. studies: measurements by task."""
    numbers = numbers_of(studies)
    return [judge(one, numbers[one.key]) for one in PREDICTIONS]


def numbers_of(studies: Mapping[str, pd.DataFrame]) -> dict[str, list[float]]:
    """One number per seed by prediction."""
    held, trained = (accounts(studies[QUESTIONS], stratum) for stratum in (HELD_OUT, TRAINED))
    strict, likely = (table(studies, metric) for metric in (STRICT, LIKELY))
    right = strict.loc[REVIEWS]
    share = (likely[DEALT] - likely[BASE]) / (likely[FULL] - likely[BASE])
    mapping, more = ((likely[FULL] - likely[arm]).drop(REVIEWS, level=0) for arm in (DEALT, FEW))
    found = {
        "1": held["format"] + held["elicited"] - held["whole"] / 2,
        "2": held["elicited"] - held["format"],
        "3": trained["whole"] / 2 - trained["injected"],
        "4": (right[DEALT] - right[BASE]) - (right[FULL] - right[BASE]) / 2,
        "5": (right[FEW] - right[DEALT]) - (right[FULL] - right[DEALT]) / 2,
        "6": smallest(share) - 0.5,
        "7": smallest(mapping),
        "8": smallest(more),
    }
    return {key: values.tolist() for key, values in found.items()}


def smallest(values: pd.Series) -> pd.Series:
    """Over tasks, seed by seed; NaN if one task has no value."""
    return values.groupby(level="seed").agg(lambda own: own.min(skipna=False))
