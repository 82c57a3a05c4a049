"""How well one number per training run foretells another: out of sample, and against other predictors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from sft_probe.stats.intervals import Floats, Interval

DEGREE = 2  # of the polynomial, as in the source
FEWEST = DEGREE + 4  # runs


@dataclass(frozen=True, slots=True, kw_only=True)
class Foretold:
    """One predictor. r2: leaving out one run at a time; at most 1, below 0 if the mean foretells better.
    spearman: rank correlation. best: share of bootstrap draws in which no other predictor had a higher r2."""

    r2: Interval
    spearman: Interval
    best: float


def compare_predictors(
    predictors: Floats, outcome: Floats, rng: np.random.Generator, *, resamples: int = 1000
) -> tuple[Foretold, ...]:
    """Predictors of one outcome, head to head on the same runs and the same bootstrap draws.

    predictors: (p, runs).  outcome: (runs,), all finite.  A run that is drawn twice is left out twice at
    once, so that its copy cannot foretell it. Percentile intervals over runs; undefined below six runs or
    where a predictor does not vary.
    Source: Shenfeld, Pari & Agrawal 2025 (arXiv 2509.04259) for the quadratic fit; Stone 1974 for leaving
    out one.
    """
    count, runs = predictors.shape
    why = f"fewer than {FEWEST} runs" if runs < FEWEST else ""
    if why:
        empty = Interval(value=np.nan, n=runs, why=why)
        return tuple(Foretold(r2=empty, spearman=empty, best=np.nan) for _ in range(count))
    drawn = rng.multinomial(runs, np.full(runs, 1 / runs), size=resamples).astype(float)
    ones = np.ones((1, runs))
    scores = np.stack([left_out_r2(x, outcome, drawn) for x in predictors])
    ranks = np.stack([_spearman(x, outcome, drawn) for x in predictors])
    filled = np.where(np.isnan(scores), -np.inf, scores)
    best = (filled == filled.max(axis=0)) & np.isfinite(filled)
    return tuple(
        Foretold(
            r2=_interval(float(left_out_r2(x, outcome, ones)[0]), scores[k], runs),
            spearman=_interval(float(_spearman(x, outcome, ones)[0]), ranks[k], runs),
            best=float(best[k].mean()),
        )
        for k, x in enumerate(predictors)
    )


def left_out_r2(x: Floats, y: Floats, weights: Floats, *, degree: int = DEGREE) -> Floats:
    """R^2 of a polynomial fit, each run foretold by all others. weights: (draws, runs) copies -> (draws,).

    1 - sum w (y - fit without the run)^2 / sum w (y - mean without the run)^2. All copies of a run are left
    out together, for which no second fit is needed: residual / (1 - w h), with h the leverage of one copy.
    NaN where a fit is not determined.
    """
    centred = (x - x.mean()) / (x.std() or 1.0)
    design = centred[:, None] ** np.arange(degree + 1)
    present = (weights > 0).astype(float)
    total = weights.sum(axis=1, keepdims=True)
    mean = weights @ y / total[:, 0]
    gram = np.einsum("bn,ni,nj->bij", weights, design, design)
    inverse = np.linalg.pinv(gram, rcond=1e-10, hermitian=True)
    beta = np.einsum("bij,nj,bn,n->bi", inverse, design, weights, y)
    leverage = weights * np.einsum("ni,bij,nj->bn", design, inverse, design)
    with np.errstate(divide="ignore", invalid="ignore"):
        missed = (y - beta @ design.T) / (1 - leverage)
        plain = (y - mean[:, None]) / (1 - weights / total)
        score = 1 - (weights * missed**2).sum(axis=1) / (weights * plain**2).sum(axis=1)
    determined = present.sum(axis=1) > degree + 1
    sound = determined & (np.where(present > 0, leverage, 0.0) < 1 - 1e-8).all(axis=1) & (np.ptp(x) > 0)
    found: Floats = np.where(sound, score, np.nan)
    return found


def permuted_r2(
    x: Floats, y: Floats, rng: np.random.Generator, *, draws: int = 500, level: float = 0.95
) -> float:
    """What a predictor without any bearing on the outcome reaches in 95 % of cases: outcomes shuffled."""
    ones = np.ones((1, y.size))
    found = [float(left_out_r2(x, rng.permutation(y), ones)[0]) for _ in range(draws)]
    return float(np.nanquantile(found, level)) if np.isfinite(found).any() else np.nan


def _spearman(x: Floats, y: Floats, weights: Floats) -> Floats:
    """Rank correlation of the drawn runs, ties at their middle rank. (draws,)."""
    chosen = np.stack([np.repeat(np.arange(x.size), copies) for copies in weights.astype(int)])
    one, two = (rankdata(values[chosen], axis=1) for values in (x, y))
    one, two = (ranks - ranks.mean(axis=1, keepdims=True) for ranks in (one, two))
    scale = np.sqrt((one**2).sum(axis=1) * (two**2).sum(axis=1))
    found: Floats = np.divide(
        (one * two).sum(axis=1), scale, out=np.full(len(weights), np.nan), where=scale > 0
    )
    return found


def _interval(value: float, draws: NDArray[np.float64], runs: int, *, level: float = 0.95) -> Interval:
    known = draws[np.isfinite(draws)]
    if not np.isfinite(value) or known.size < draws.size / 2:
        return Interval(value=value, n=runs, why="it does not vary enough over the runs")
    low, high = np.quantile(known, ((1 - level) / 2, (1 + level) / 2))
    return Interval(
        value=value,
        low=float(low),
        high=float(high),
        n=runs,
        n_clusters=runs,
        how=f"bootstrap over {runs} runs",
    )
