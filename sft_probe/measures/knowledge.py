"""Whether a model knows a fact, from likelihoods of matched answers or from samples, with error rates."""

from __future__ import annotations

from math import nan
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp
from scipy.stats import binom

Floats = NDArray[np.float64]
Category = Literal["highly known", "maybe known", "weakly known", "unknown"]
CATEGORIES: tuple[Category, ...] = ("highly known", "maybe known", "weakly known", "unknown")
WEAKEST = 0.3  # sensitivity + specificity - 1 below which a corrected share is withheld (`science.md` 2.2)


def log_odds(logprob: Floats) -> Floats:
    """Log-odds of each candidate answer against all others of its question, in nats. (k,) -> (k,), k >= 2."""
    others = np.where(np.eye(len(logprob), dtype=bool), -np.inf, logprob[None, :])
    odds: Floats = logprob - logsumexp(others, axis=1)
    return odds


def null_log_odds(logprob: Floats) -> Floats:
    """Log-odds of each wrong answer among the wrong ones: what ignorance looks like. The right one is first.

    (k,) -> (k - 1,); empty if there are fewer than two wrong ones.
    """
    return log_odds(logprob[1:]) if len(logprob) > 2 else np.empty(0)


def threshold(null: Floats, size: float) -> float:
    """The value that a share `size` of the null exceeds at most; +inf without a null."""
    if null.size == 0:
        return float("inf")
    return float(np.quantile(null, 1 - size, method="higher"))


def sensitivity(first: NDArray[np.bool_], second: NDArray[np.bool_], specificity: float) -> float:
    """Share of known facts that are found, from two wordings of each fact and a known specificity.

    With f = 1 - specificity, a the mean share found and b the share found in both wordings,
    a = p s + (1 - p) f and b = p s^2 + (1 - p) f^2, so s = (b - f^2) / (a - f) - f. NaN where no more is
    found than ignorance gives. Wordings that fail on the same facts make it too high.
    Source: Hui & Walter 1980, Estimating the error rates of diagnostic tests, with one rate known.
    """
    false = 1 - specificity
    a, b = float((first.mean() + second.mean()) / 2), float((first & second).mean())
    if a - false < 0.02:
        return nan
    return float(np.clip((b - false**2) / (a - false) - false, 0.0, 1.0))


def corrected_share(share: float, sensitivity: float, specificity: float) -> float:
    """True share behind a share found by an imperfect test; NaN if the test is too weak to say.

    Clipped to [0, 1].
    Source: Rogan & Gladen 1978, Estimating prevalence from the results of a screening test.
    """
    strength = sensitivity + specificity - 1
    if not strength >= WEAKEST:  # also NaN
        return nan
    return float(np.clip((share + specificity - 1) / strength, 0.0, 1.0))


def least_hits(draws: int, guess_rate: float, size: float = 0.01) -> int:
    """Fewest right answers among `draws` samples that guessing gives with a chance of at most `size`.

    160 draws: 6 at a guess rate of 1/100, 4 at 1/200, 3 at 1/1000.
    """
    return int(binom.isf(size, draws, guess_rate)) + 1 if guess_rate > 0 else 1


def slick_category(
    greedy: NDArray[np.bool_], sampled_hits: int, least: int, greedy_least: int = 1
) -> Category:
    """SliCK category of a fact, with a guess test in place of "at least one".

    greedy: one right-or-wrong per few-shot prompt, decoded greedily.  sampled_hits: right answers among the
    samples.  least: hits below this are guesses, as from `least_hits`.  greedy_least: the same for `greedy`.
    Source: Gekhman et al. 2024 (arXiv 2405.05904), whose own rule is least = greedy_least = 1.
    """
    if greedy.all():
        return "highly known"
    if int(greedy.sum()) >= greedy_least:
        return "maybe known"
    return "weakly known" if sampled_hits >= least else "unknown"


def first_reached(steps: Floats, values: Floats, level: float) -> float:
    """When a curve first reached a level, linear between looks; NaN if it never did. steps: ascending."""
    reached = np.flatnonzero(values >= level)
    if reached.size == 0:
        return nan
    after = int(reached[0])
    if after == 0:
        return float(steps[0])
    share = (level - values[after - 1]) / (values[after] - values[after - 1])
    return float(steps[after - 1] + share * (steps[after] - steps[after - 1]))
