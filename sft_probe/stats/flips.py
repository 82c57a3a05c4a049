"""Items that change sides: counts, how many flips to expect from noise alone, and the first sure loss."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import nan
from typing import NamedTuple

import numpy as np

from sft_probe.stats.families import adjust_together, cluster_sums
from sft_probe.stats.intervals import Floats, Interval, Ints, mean_interval, share_interval
from sft_probe.stats.resampling import expanded_percentiles, resampled_sums


class Flips(NamedTuple):
    """How many items were right after but not before, before but not after, both times, never."""

    gained: int
    lost: int
    kept: int
    never: int

    @property
    def n(self) -> int:
        """All items."""
        return sum(self)

    @property
    def kappa(self) -> float:
        """Cohen's kappa of before and after: 1 if no item flips, 0 if they agree as by chance."""
        if not self.n:
            return nan
        before, after = (self.lost + self.kept) / self.n, (self.gained + self.kept) / self.n
        chance = before * after + (1 - before) * (1 - after)
        agreed = (self.kept + self.never) / self.n
        return (agreed - chance) / (1 - chance) if chance < 1 else nan


def count_flips(after: Floats, before: Floats) -> Flips:
    """after, before: (n,) zeros and ones; pairs with NaN are left out."""
    pairs = np.stack([np.asarray(after, float), np.asarray(before, float)])
    later, earlier = pairs[:, ~np.isnan(pairs).any(axis=0)] > 0.5
    counts = (later & ~earlier, earlier & ~later, later & earlier, ~later & ~earlier)
    return Flips(*(int(mask.sum()) for mask in counts))


def flip_intervals(
    after: Floats,
    before: Floats,
    clusters: Ints,
    rng: np.random.Generator,
    *,
    resamples: int = 2000,
) -> dict[str, Interval]:
    """Shares "gained", "lost", "churn" and "net", each with its interval by one bootstrap over clusters.

    after, before: (n,) zeros and ones without NaN; whole clusters are drawn, so that pairs stay pairs. For
    a single share prefer `share_interval`, for the net change `change_interval`: they keep their width where
    nothing flips, and in few clusters, where this one covers 89 % (five of them). It is for what they cannot
    do: functions of several shares on the same draws.
    """
    gained, lost = (after > before).astype(float), (after < before).astype(float)
    plain = {
        name: mean_interval(values, clusters)
        for name, values in {
            "gained": gained,
            "lost": lost,
            "churn": gained + lost,
            "net": gained - lost,
        }.items()
    }
    if plain["net"].why:
        return plain
    sums = resampled_sums(
        cluster_sums(np.stack([gained, lost, np.ones(lost.size)], 1), clusters), rng, resamples
    )
    more, less = sums[:, 0] / sums[:, 2], sums[:, 1] / sums[:, 2]
    drawn = {"gained": more, "lost": less, "churn": more + less, "net": more - less}
    how = f"bootstrap over {plain['net'].n_clusters} clusters"
    return {
        name: expanded_percentiles(replace(found, df=nan, how=how), drawn[name], found.df)
        for name, found in plain.items()
    }


def seed_flip_rate(scores: Floats, clusters: Ints | None = None) -> Interval:
    """How often two training seeds disagree on an item: the churn that a new seed alone brings.

    scores: (seeds, n) zeros and ones of the same arm at the same step.  The mean over all pairs of seeds,
    with its interval over items for these seeds. Undefined with one seed.
    """
    seeds = len(scores)
    if seeds < 2:
        return Interval(value=nan, n=scores.shape[1], why="one seed")
    return share_interval(_disagreement(np.asarray(scores, float)), clusters)


def excess_churn(before: Floats, scores: Floats, clusters: Ints | None = None) -> Interval:
    """Churn from before to after, less what two seeds differ by: flips that training is answerable for.

    before: (n,) of the base.  scores: (seeds, n) after training.  Zero is expected of a run that does no
    more than draw every answer anew; it may fall below zero by chance.
    """
    scores = np.asarray(scores, float)
    if len(scores) < 2:
        return Interval(value=nan, n=scores.shape[1], why="one seed")
    churn = np.abs(scores - np.asarray(before, float)).mean(axis=0)
    return mean_interval(churn - _disagreement(scores), clusters)


def sampled_churn(before: Floats, after: Floats) -> Floats:
    """Chance that an item flips if both models draw their answer, from their chances to be right.

    Even equal models flip 2 p (1 - p): 41 % of items at temperature 1 if p is spread as Beta(2, 2). (n,).
    """
    flipped: Floats = before * (1 - after) + after * (1 - before)
    return flipped


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstLoss:
    """step: of the first look at which a loss is shown, NaN if at none.  p: adjusted, one per look."""

    step: float
    p: Floats


def first_loss(
    steps: Sequence[float],
    changes: Floats,
    rng: np.random.Generator,
    clusters: Ints | None = None,
    *,
    alpha: float = 0.05,
    resamples: int = 1999,
) -> FirstLoss:
    """When a loss is first shown, with one chance of error for all looks together.

    steps: of k looks after the start.  changes: (k, n) value of each item minus that before training.
    Looks share the items and the start, so they are adjusted together, one-sidedly.
    """
    p = adjust_together(np.asarray(changes, float).T, rng, clusters, side="less", resamples=resamples)
    shown = np.flatnonzero(p <= alpha)
    return FirstLoss(step=float(steps[shown[0]]) if shown.size else nan, p=p)


def _disagreement(scores: Floats) -> Floats:
    """Per item, the share of pairs of seeds that differ: k (S - k) of S (S - 1) / 2."""
    seeds, right = len(scores), scores.sum(axis=0)
    apart: Floats = right * (seeds - right) / (seeds * (seeds - 1) / 2)
    return apart
