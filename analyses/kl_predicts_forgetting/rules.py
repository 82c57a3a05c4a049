"""The fit and the pass rules of README.md as pure functions over one row per run."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analyses.outcomes import Finding, Outcome, Prediction, above, shown
from sft_probe.stats.intervals import Interval
from sft_probe.stats.prediction import Foretold, compare_predictors, left_out_r2, permuted_r2

KL, NORM, LOSS = "forward_kl", "weight_norm", "training_loss"
PREDICTORS = (KL, NORM, LOSS)
OUTCOME = "accuracy"  # lost on the benchmarks
SHOWN_TOO = "label_free"
FEWEST, RESAMPLES, SEED = 20, 1000, 0

NOTHING = Prediction(
    key="1",
    sentence="Forward KL foretells forgetting",
    number="R² of forward KL",
    rule="R² of forward KL above that of forgetting dealt out anew",
)
LENGTH = Prediction(
    key="2",
    sentence="Better than the length of the change of weights",
    number="R² of forward KL less that of the relative norm",
)
TRAINING = Prediction(
    key="3",
    sentence="Better than the training loss",
    number="R² of forward KL less that of the training loss",
)


def usable(runs: pd.DataFrame, outcome: str = OUTCOME) -> pd.DataFrame:
    """Runs that have the outcome and all three predictors. runs: one row each, columns by name."""
    columns = [*PREDICTORS, outcome]
    known = runs.reindex(columns=["study", "arm", *columns])
    finite = np.isfinite(known[columns].to_numpy(float)).all(axis=1)
    kept: pd.DataFrame = known[finite].reset_index(drop=True)
    return kept


def findings(runs: pd.DataFrame) -> list[Finding]:
    """Every prediction of the README. runs: as of `usable`."""
    y = runs[OUTCOME].to_numpy(float)
    kl = runs[KL].to_numpy(float)
    null = permuted_r2(kl, y, np.random.default_rng(SEED)) if len(runs) >= FEWEST else np.nan
    found = [_judged(NOTHING, _r2(kl, y), null)]
    for prediction, name in ((LENGTH, NORM), (TRAINING, LOSS)):
        found.append(_judged(prediction, difference(kl, runs[name].to_numpy(float), y), 0.0))
    return found


def compared(runs: pd.DataFrame, outcome: str = OUTCOME) -> dict[str, Foretold]:
    """R² and rank correlation of every predictor with an outcome, on the same draws of runs."""
    values = runs[list(PREDICTORS)].to_numpy(float).T
    rng = np.random.default_rng(SEED)
    found = compare_predictors(values, runs[outcome].to_numpy(float), rng, resamples=RESAMPLES)
    return dict(zip(PREDICTORS, found, strict=True))


def difference(
    one: NDArray[np.float64], other: NDArray[np.float64], outcome: NDArray[np.float64]
) -> Interval:
    """R² of one predictor less that of another, with limits from the same draws of runs. Each (runs,)."""
    return _bootstrap([one, other], outcome)


def _r2(x: NDArray[np.float64], y: NDArray[np.float64]) -> Interval:
    return _bootstrap([x], y)


def _bootstrap(predictors: Sequence[NDArray[np.float64]], y: NDArray[np.float64]) -> Interval:
    """R² of the first predictor, less that of the second if there is one."""
    if y.size < FEWEST:
        return Interval(value=np.nan, n=y.size, why=f"{y.size} runs, fewer than {FEWEST}")
    draws = np.random.default_rng(SEED).multinomial(y.size, np.full(y.size, 1 / y.size), size=RESAMPLES)
    weights = np.vstack([np.ones(y.size), draws])
    first, *rest = (left_out_r2(x, y, weights) for x in predictors)
    values = first - rest[0] if rest else first
    known = values[1:][np.isfinite(values[1:])]
    if not np.isfinite(values[0]) or known.size < RESAMPLES / 2:
        return Interval(value=float(values[0]), n=y.size, why="it does not vary enough over the runs")
    low, high = np.quantile(known, (0.025, 0.975))
    return Interval(
        value=float(values[0]), low=float(low), high=float(high), n=y.size, how="bootstrap over runs"
    )


def _judged(prediction: Prediction, found: Interval, bound: float) -> Finding:
    """Without a bound there is nothing to hold it against."""
    outcome = above(found, bound) if np.isfinite(bound) else Outcome.INCONCLUSIVE
    limit = f"; bound {bound:.3f}" if bound else ""
    return Finding(
        prediction=prediction,
        outcome=outcome,
        measured=f"{shown(found, unit='run')}{limit}",
        interval=found,
    )
