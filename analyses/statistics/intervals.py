"""The cells of intervals: every function of `sft_probe/stats` that gives one."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import product
from math import asin, pi, sqrt

import numpy as np
from scipy.stats import norm

from analyses.statistics.draws import (
    UNEQUAL,
    answer_clusters,
    codes,
    crossed,
    crossed_answers,
    flip_clusters,
    normal_clusters,
    pairs,
)
from analyses.statistics.simulate import SOME, Cell, Rng, Row, Said, holds
from sft_probe.measures.membership import placements
from sft_probe.stats.contrasts import change_interval, paired_interval
from sft_probe.stats.distances import ks_interval
from sft_probe.stats.flips import excess_churn, flip_intervals, seed_flip_rate
from sft_probe.stats.groups import worst_group_interval
from sft_probe.stats.intervals import mean_interval, share_interval
from sft_probe.stats.resampling import (
    FISHER,
    LOG,
    balanced_groups,
    bootstrap_interval,
    hierarchical_interval,
    jackknife_interval,
)
from sft_probe.stats.seeds import over_seeds, over_seeds_and_items, over_seeds_with_errors
from sft_probe.stats.timelines import change_point, half_time, half_way
from sft_probe.stats.trends import spearman
from sft_probe.stats.two_samples import auc_interval, difference_interval, inclusion_effect

interval = partial(Cell, kind="interval")
EQUAL = {f"{count} clusters of 5": (5,) * count for count in (2, 3, 5, 10, 40)}
HARD = {name: sizes for name, sizes in (EQUAL | UNEQUAL).items() if len(sizes) > 2}
EIGHT = codes((5,) * 8)


def cells() -> Iterator[Cell]:
    """Every cell, cheap ones first within a function."""
    for group in (means, shares, changes, seeds, kinds, resampled, timelines, flips, others):
        yield from group()


def means() -> Iterator[Cell]:
    for n in (2, 3, 5, 10, 100):
        yield interval(
            method="mean_interval",
            design=f"{n} normal items",
            draw=lambda rng, count, n=n: rng.normal(size=(count, n)),
            judge=lambda row, rng: holds(mean_interval(row), 0),
        )
    for n in (10, 30, 100, 300):
        yield interval(
            method="mean_interval",
            design=f"{n} exponential items",
            draw=lambda rng, count, n=n: rng.exponential(size=(count, n)),
            judge=lambda row, rng: holds(mean_interval(row), 1),
        )
    for (name, sizes), correlation in product((EQUAL | UNEQUAL).items(), (0.0, 0.3, 1.0)):
        ids = codes(sizes)
        yield interval(
            method="mean_interval",
            design=f"{name}, correlation {correlation:g}",
            draw=lambda rng, count, s=sizes, c=correlation: normal_clusters(rng, count, s, c),
            judge=lambda row, rng, ids=ids: holds(mean_interval(row, ids), 0),
            replicates=SOME,
        )
    for n, same in ((20, 0.5), (100, 0.9)):
        yield interval(
            method="paired_interval",
            design=f"{n} items of which {same:.0%} do not change at all",
            draw=lambda rng, count, n=n, same=same: (
                rng.normal(0.5, 1, (count, n)) * (rng.random((count, n)) > same)
            ),
            judge=lambda row, rng, same=same: holds(
                paired_interval(row, np.zeros(row.size)), 0.5 * (1 - same)
            ),
        )


def shares() -> Iterator[Cell]:
    for n, share in product((2, 5, 10, 20, 50, 200, 1000), (0.0, 0.01, 0.1, 0.3, 0.5, 0.95, 1.0)):
        yield interval(
            method="share_interval",
            design=f"{n} items, rate {share:g}",
            draw=lambda rng, count, n=n, p=share: rng.binomial(n, p, count),
            judge=lambda k, rng, n=n, p=share: holds(share_interval(np.repeat([1.0, 0.0], [k, n - k])), p),
            repeats=True,
        )
    for (name, sizes), (share, correlation) in product(
        HARD.items(), ((0.02, 0.3), (0.1, 0.3), (0.5, 0.3), (0.5, 0.9), (1.0, 0.3))
    ):
        ids = codes(sizes)
        yield interval(
            method="share_interval",
            design=f"{name}, rate {share:g}, correlation {correlation:g}",
            draw=lambda rng, count, s=sizes, p=share, c=correlation: answer_clusters(rng, count, s, p, c),
            judge=lambda row, rng, ids=ids, p=share: holds(share_interval(row, ids), p),
            replicates=SOME,
        )
    yield interval(
        method="worst_group_interval",
        design="4 groups of 50, one at 0.5, others at 0.8",
        draw=lambda rng, count: rng.binomial(50, [0.5, 0.8, 0.8, 0.8], (count, 4)),
        judge=_worst,
    )
    yield interval(
        method="worst_group_interval",
        design="4 groups of 50, all at 0.8",
        draw=lambda rng, count: rng.binomial(50, [0.8] * 4, (count, 4)),
        judge=partial(_worst, truth=0.8),
    )


def _worst(row: Row, rng: Rng, truth: float = 0.5) -> Said:
    values = np.concatenate([np.repeat([1.0, 0.0], [k, 50 - k]) for k in row])
    return holds(worst_group_interval(values, np.repeat(np.arange(4), 50)), truth)


def changes() -> Iterator[Cell]:
    rates = ((0.0, 0.0), (0.01, 0.01), (0.03, 0.08), (0.1, 0.1), (0.3, 0.05), (0.5, 0.0))
    for n, (gain, loss) in product((2, 5, 20, 50, 200, 1000), rates):
        yield interval(
            method="change_interval",
            design=f"{n} items, gained {gain:g}, lost {loss:g}",
            draw=lambda rng, count, n=n, g=gain, b=loss: rng.multinomial(n, [g, b, 1 - g - b], count),
            judge=lambda row, rng, d=gain - loss: holds(change_interval(*pairs(*row)), d),
            repeats=True,
        )
    for (name, sizes), (gain, loss) in product(HARD.items(), ((0.03, 0.08), (0.1, 0.1), (0.4, 0.1))):
        ids = codes(sizes)
        yield interval(
            method="change_interval",
            design=f"{name}, gained {gain:g}, lost {loss:g}, correlation 0.3",
            draw=lambda rng, count, s=sizes, g=gain, b=loss: flip_clusters(rng, count, s, g, b, 0.3),
            judge=lambda row, rng, ids=ids, d=gain - loss: holds(
                change_interval((row > 0).astype(float), (row < 0).astype(float), ids), d
            ),
            replicates=SOME,
        )


def seeds() -> Iterator[Cell]:
    for count_of in (2, 3, 5, 10):
        yield interval(
            method="over_seeds",
            design=f"{count_of} seeds",
            draw=lambda rng, count, s=count_of: rng.normal(size=(count, s)),
            judge=lambda row, rng: holds(over_seeds(row), 0),
        )
        yield interval(
            method="over_seeds",
            design=f"{count_of} seeds, shares of 50 items at a rate of 0.95",
            draw=lambda rng, count, s=count_of: rng.binomial(50, 0.95, (count, s)) / 50,
            judge=lambda row, rng: holds(over_seeds(row), 0.95),
        )
    for count_of, items, between in product((2, 3, 5), (20, 100), (0.0, 0.03, 0.1, 0.5)):
        name = f"{count_of} seeds, {items} items, seeds differ by {between:g}"
        yield interval(
            method="over_seeds_and_items",
            design=name,
            draw=lambda rng, count, s=count_of, n=items, b=between: crossed(rng, count, s, n, b),
            judge=lambda row, rng: holds(over_seeds_and_items(row), 0),
            replicates=SOME,
        )
        yield interval(
            method="over_seeds_with_errors",
            design=name,
            draw=lambda rng, count, s=count_of, n=items, b=between: crossed(rng, count, s, n, b),
            judge=lambda row, rng: holds(
                over_seeds_with_errors(row.mean(axis=1), row.std(axis=1, ddof=1) / sqrt(row.shape[1])), 0
            ),
            replicates=SOME,
        )
    for count_of, between in product((2, 3, 5), (0.0, 0.1)):
        yield interval(
            method="over_seeds_and_items",
            design=f"{count_of} seeds, 100 right or wrong answers, seeds differ by {between:g}",
            draw=lambda rng, count, s=count_of, b=between: crossed_answers(rng, count, s, 100, b),
            judge=lambda row, rng: holds(over_seeds_and_items(row), 0.5),
            replicates=SOME,
        )
        yield interval(
            method="over_seeds_and_items",
            design=f"{count_of} seeds, 8 clusters of 5 items, seeds differ by {between:g}",
            draw=lambda rng, count, s=count_of, b=between: _clustered(rng, count, s, b),
            judge=lambda row, rng, ids=EIGHT: holds(over_seeds_and_items(row, ids), 0),
            replicates=SOME,
        )


def _clustered(rng: Rng, count: int, seeds_: int, between: float) -> np.ndarray:
    items = normal_clusters(rng, count, (5,) * 8, 0.3)[:, None, :]
    return items + between * rng.normal(size=(count, seeds_, 1)) + 0.3 * rng.normal(size=(count, seeds_, 40))


def kinds() -> Iterator[Cell]:
    for (m, n), spread in product(((2, 2), (5, 5), (5, 50), (50, 50)), (1.0, 3.0)):
        yield interval(
            method="difference_interval",
            design=f"{m} against {n} items, standard deviations 1 and {spread:g}",
            draw=lambda rng, count, m=m, n=n, s=spread: (
                rng.normal(size=(count, m + n)) * np.repeat([1, s], [m, n])
            ),
            judge=lambda row, rng, m=m: holds(difference_interval(row[:m], row[m:]), 0),
        )
    sizes = (5,) * 6
    yield interval(
        method="difference_interval",
        design="6 against 6 clusters of 5, correlation 0.3",
        draw=lambda rng, count: normal_clusters(rng, count, sizes * 2, 0.3),
        judge=lambda row, rng: holds(difference_interval(row[:30], row[30:], codes(sizes), codes(sizes)), 0),
    )
    for (m, n), area in product(((10, 10), (20, 200), (100, 100)), (0.5, 0.8, 0.97)):
        shift = sqrt(2) * norm.ppf(area)
        yield interval(
            method="auc_interval",
            design=f"{m} against {n} items, area {area:g}",
            draw=lambda rng, count, m=m, n=n, d=shift: (
                rng.normal(size=(count, m + n)) + np.repeat([d, 0], [m, n])
            ),
            judge=lambda row, rng, m=m, a=area: holds(_area(row, m), a),
            replicates=SOME,
        )
    yield interval(
        method="auc_interval",
        design="30 against 30 items with three values only, area 0.5",
        draw=lambda rng, count: rng.integers(0, 3, (count, 60)).astype(float),
        judge=lambda row, rng: holds(_area(row, 30), 0.5),
    )
    yield interval(
        method="auc_interval",
        design="10 against 10 clusters of 5, correlation 0.3, area 0.5",
        draw=lambda rng, count: normal_clusters(rng, count, (5,) * 20, 0.3),
        judge=lambda row, rng: holds(_area(row, 50, codes((5,) * 10)), 0.5),
    )
    for runs, items in ((4, 50), (8, 50), (20, 50)):
        yield interval(
            method="inclusion_effect",
            design=f"{runs} runs, {items} items, half of the items in each run",
            draw=partial(_included, runs=runs, items=items),
            judge=lambda row, rng: holds(inclusion_effect(row[0], row[1] > 0)[0], 0.5),
            replicates=SOME,
        )


def _area(row: Row, m: int, ids: np.ndarray | None = None) -> object:
    return auc_interval(*placements(row[:m], row[m:]), ids, ids)


def _included(rng: Rng, count: int, runs: int, items: int) -> np.ndarray:
    """(count, 2, runs, items): scores, and 1 where the item was trained on."""
    inside = rng.random((count, runs, items)) < 0.5
    scores = 0.5 * inside + 0.5 * rng.normal(size=(count, 1, items)) + 0.3 * rng.normal(size=(count, runs, 1))
    return np.stack([scores + 0.5 * rng.normal(size=(count, runs, items)), inside], axis=1)


def resampled() -> Iterator[Cell]:
    for groups in (5, 20, 100):
        yield interval(
            method="jackknife_interval",
            design=f"correlation of {groups} pairs, true value 0.8, at most 20 groups",
            draw=partial(_correlated, groups=groups),
            judge=_jackknifed,
        )
        yield interval(
            method="jackknife_interval",
            design=f"ratio of two means over {groups} clusters, at most 20 groups",
            draw=lambda rng, count, g=groups: rng.gamma(4, 0.25, size=(count, g, 2)),
            judge=_ratio_jackknifed,
        )
    for groups in (5, 10, 40):
        yield interval(
            method="bootstrap_interval",
            design=f"ratio of two means over {groups} clusters",
            draw=lambda rng, count, g=groups: rng.gamma(4, 0.25, size=(count, g, 2)),
            judge=lambda row, rng: holds(bootstrap_interval(lambda x: x[:, 0] / x[:, 1], row, rng), 1),
            replicates=SOME,
        )
    for groups in (10, 40):
        yield interval(
            method="bootstrap_interval",
            design=f"half of a sum is reached, at one of 12 places, over {groups} clusters",
            draw=lambda rng, count, g=groups: rng.gamma(1, 1, size=(count, g, 12)) * _FALL,
            judge=lambda row, rng: holds(bootstrap_interval(_half_depth, row, rng), 4),
            replicates=SOME,
        )
    for count_of, between in ((2, 0.1), (3, 0.1)):
        yield interval(
            method="hierarchical_interval",
            design=f"mean over {count_of} seeds and 40 items, seeds differ by {between:g}",
            draw=lambda rng, count, s=count_of, b=between: crossed(rng, count, s, 40, b),
            judge=lambda row, rng: holds(hierarchical_interval(np.mean, row, rng, resamples=100), 0),
            replicates=SOME,
        )
    yield interval(
        method="hierarchical_interval",
        design="odds of right answers over 3 seeds and 100 items, seeds differ by 0.1",
        draw=lambda rng, count: crossed_answers(rng, count, 3, 100, 0.1),
        judge=lambda row, rng: holds(hierarchical_interval(_log_odds, row, rng, resamples=100), 0),
        replicates=SOME,
    )


_FALL = np.linspace(2, 0.5, 12)  # the cumulated means reach half of their sum at place 4 (from 0)


def _half_depth(sums: np.ndarray) -> np.ndarray:
    total = sums.cumsum(axis=1)
    return np.argmax(total >= total[:, -1:] / 2, axis=1).astype(float)


def _log_odds(scores: np.ndarray) -> float:
    share = min(max(float(scores.mean()), 1e-3), 1 - 1e-3)
    return float(np.log(share / (1 - share)))


def _correlated(rng: Rng, count: int, groups: int) -> np.ndarray:
    x = rng.normal(size=(count, groups, 2))
    x[..., 1] = 0.8 * x[..., 0] + 0.6 * x[..., 1]
    return x


def _jackknifed(row: Row, rng: Rng) -> Said:
    groups = balanced_groups(np.arange(len(row)))
    x, y = row.T
    moments = np.stack([np.ones(len(row)), x, y, x * x, y * y, x * y])
    by_group = np.stack([np.bincount(groups, moment) for moment in moments])
    whole = by_group.sum(axis=1, keepdims=True)
    return holds(jackknife_interval(float(_r(whole)[0]), _r(whole - by_group), scale=FISHER), 0.8)


def _r(moments: np.ndarray) -> np.ndarray:
    n, x, y, xx, yy, xy = moments
    return (n * xy - x * y) / np.sqrt((n * xx - x * x) * (n * yy - y * y))


def _ratio_jackknifed(row: Row, rng: Rng) -> Said:
    groups = balanced_groups(np.arange(len(row)))
    by_group = np.stack([np.bincount(groups, row[:, column]) for column in (0, 1)], axis=1)
    rest = row.sum(axis=0) - by_group
    value = float(row[:, 0].sum() / row[:, 1].sum())
    return holds(jackknife_interval(value, rest[:, 0] / rest[:, 1], scale=LOG), 1)


STEPS = (0, 1, 3, 10, 30, 100)
CURVE = np.array([0.1, 0.15, 0.3, 0.6, 0.8, 0.85])
JUMP = np.array([0.2, 0.2, 0.2, 0.6, 0.6, 0.6])


def timelines() -> Iterator[Cell]:
    truth = half_way(STEPS, CURVE)
    for count_of, items in ((1, 20), (1, 50), (1, 200), (2, 100), (3, 100), (5, 100)):
        yield interval(
            method="half_time",
            design=f"{count_of} seed{'s' * (count_of > 1)}, {items} right or wrong answers",
            draw=lambda rng, count, s=count_of, n=items: _learning(rng, count, s, n),
            judge=lambda row, rng: holds(half_time(STEPS, row), truth),
            replicates=SOME,
        )
    for count_of in (2, 3, 5):
        yield interval(
            method="half_time",
            design=f"{count_of} seeds, one curve each",
            draw=lambda rng, count, s=count_of: CURVE + rng.normal(0, 0.04, size=(count, s, 1, 6)),
            judge=lambda row, rng: holds(half_time(STEPS, row), truth),
            replicates=SOME,
        )
    for items in (20, 60):
        yield interval(
            method="change_point",
            design=f"jump from 0.2 to 0.6 over {items} items",
            draw=lambda rng, count, n=items: (rng.random((count, n, 6)) < JUMP).astype(float),
            judge=_jumped,
            replicates=SOME,
        )


def _learning(rng: Rng, count: int, seeds_: int, items: int) -> np.ndarray:
    """Thresholds of items are shared by seeds and looks; the share right follows CURVE. (count, s, n, k)."""
    ease = rng.normal(size=(count, 1, items, 1)) * 0.8
    noise = rng.normal(size=(count, seeds_, items, 6)) * 0.6
    return (ease + noise < norm.ppf(CURVE)).astype(float)


def _jumped(row: Row, rng: Rng) -> Said:
    found = change_point(STEPS, row, rng, resamples=199)
    if found.why == "no change is shown":
        return Said(float("nan"))
    if found.why:
        return Said(0.0)
    return Said(float(found.low <= 10 <= found.high), found.high - found.low)


def flips() -> Iterator[Cell]:
    chance = 0.5 - asin(0.4**2 / (0.4**2 + 0.5**2)) / pi  # two seeds differ with this chance
    for count_of, items in ((2, 20), (2, 200), (3, 50), (5, 200)):
        yield interval(
            method="seed_flip_rate",
            design=f"{count_of} seeds, {items} items",
            draw=lambda rng, count, s=count_of, n=items: crossed_answers(rng, count, s, n, 0.0),
            judge=lambda row, rng: holds(seed_flip_rate(row), chance),
        )
        yield interval(
            method="excess_churn",
            design=f"{count_of} seeds, {items} items, no more than drawing anew",
            draw=lambda rng, count, s=count_of, n=items: crossed_answers(rng, count, s + 1, n, 0.0),
            judge=lambda row, rng: holds(excess_churn(row[0], row[1:]), 0),
        )
    for name in ("5 clusters of 5", "40 clusters of 1 to 20"):
        sizes = HARD[name]
        ids = codes(sizes)
        for share, truth in (("lost", 0.2), ("net", -0.1)):
            yield interval(
                method="flip_intervals",
                design=f"{name}, {share} share, gained 0.1, lost 0.2, correlation 0.3",
                draw=lambda rng, count, s=sizes: flip_clusters(rng, count, s, 0.1, 0.2, 0.3),
                judge=lambda row, rng, ids=ids, share=share, truth=truth: holds(
                    flip_intervals(row > 0, row < 0, ids, rng, resamples=1000)[share], truth
                ),
                replicates=SOME,
            )


def others() -> Iterator[Cell]:
    for n, rho in product((5, 10, 40), (0.0, 0.5, 0.9)):
        yield interval(
            method="spearman",
            design=f"{n} pairs, correlation {rho:g}",
            draw=partial(_normal_pairs, n=n, rho=rho),
            judge=partial(_rank_correlated, truth=6 / pi * asin(rho / 2)),
            replicates=SOME,
        )
    for n in (20, 200):
        yield interval(
            method="ks_interval",
            design=f"{n} draws, distance 0.3",
            draw=lambda rng, count, n=n: rng.random((count, n)) * 0.7,
            judge=lambda row, rng: holds(ks_interval(row, np.linspace(0.0005, 0.9995, 1000)), 0.3),
            replicates=SOME,
        )


def _rank_correlated(row: Row, rng: Rng, truth: float) -> Said:
    return holds(spearman(row[:, 0], row[:, 1], rng, resamples=1).estimate, truth)


def _normal_pairs(rng: Rng, count: int, n: int, rho: float) -> np.ndarray:
    x = rng.normal(size=(count, n, 2))
    x[..., 1] = rho * x[..., 0] + sqrt(1 - rho**2) * x[..., 1]
    return x
