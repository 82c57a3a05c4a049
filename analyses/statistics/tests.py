"""The cells of tests: data for which the null is true, and how often it is rejected at 5 %."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import product

import numpy as np
from scipy.special import ndtr

from analyses.statistics.draws import UNEQUAL, codes, flip_clusters, normal_clusters, pairs
from analyses.statistics.intervals import EQUAL, HARD
from analyses.statistics.simulate import SOME, Cell, Rng, Row, Said, rejects
from sft_probe.stats.contrasts import change_equivalence, change_test, equivalence, mcnemar, paired_interval
from sft_probe.stats.families import adjust
from sft_probe.stats.flips import first_loss
from sft_probe.stats.intervals import mean_interval, t_test
from sft_probe.stats.permutation import label_test, sign_test
from sft_probe.stats.timelines import change_point
from sft_probe.stats.trends import jonckheere, spearman

test = partial(Cell, kind="test")
FEW = 199  # resamples: a permutation test keeps its size whatever their number, only power suffers


def cells() -> Iterator[Cell]:
    """Every cell, cheap ones first within a function."""
    for group in (flips, clustered_flips, equivalences, exchanges, trends, families):
        yield from group()


def flips() -> Iterator[Cell]:
    judges = {
        "mcnemar exact": lambda row, rng: rejects(mcnemar(int(row[0]), int(row[1])).exact),
        "mcnemar mid-p": lambda row, rng: rejects(mcnemar(int(row[0]), int(row[1])).mid),
        "change_test": lambda row, rng: rejects(change_test(*pairs(*row))),
    }
    for (name, judge), n, churn in product(judges.items(), (2, 20, 50, 200, 1000), (0.0, 0.02, 0.1, 0.4)):
        yield test(
            method=name,
            design=f"{n} items, churn {churn:g}",
            draw=lambda rng, count, n=n, c=churn: rng.multinomial(n, [c / 2, c / 2, 1 - c], count),
            judge=judge,
            repeats=True,
        )


def clustered_flips() -> Iterator[Cell]:
    for (name, sizes), churn in product(HARD.items(), (0.05, 0.3)):
        for method in ("change_test", "sign_test") if churn > 0.1 else ("change_test",):
            yield test(
                method=method,
                design=f"{name}, churn {churn:g}, correlation 0.3",
                draw=lambda rng, count, s=sizes, c=churn: flip_clusters(rng, count, s, c / 2, c / 2, 0.3),
                judge=partial(_clustered_flips, ids=codes(sizes), exact=method == "sign_test"),
                replicates=SOME,
            )
    for name, sizes in (EQUAL | UNEQUAL).items():
        yield test(
            method="t_test of mean_interval",
            design=f"{name}, correlation 0.3",
            draw=lambda rng, count, s=sizes: normal_clusters(rng, count, s, 0.3),
            judge=partial(_mean_test, ids=codes(sizes)),
            replicates=SOME,
        )


def _clustered_flips(row: Row, rng: Rng, ids: np.ndarray, exact: bool) -> Said:
    after, before = (row > 0).astype(float), (row < 0).astype(float)
    if exact:
        return rejects(sign_test(after, before, rng, ids, resamples=FEW))
    return rejects(change_test(after, before, ids))


def _mean_test(row: Row, rng: Rng, ids: np.ndarray) -> Said:
    return rejects(t_test(mean_interval(row, ids)))


def equivalences() -> Iterator[Cell]:
    for n, (gain, loss), margin in product(
        (50, 200, 500, 2000), ((0.0, 0.02), (0.02, 0.04), (0.05, 0.1), (0.2, 0.25)), (0.02, 0.05)
    ):
        if round(loss - gain, 6) == margin:
            yield test(
                method="change_equivalence, no loss",
                design=f"{n} items, gained {gain:g}, lost {loss:g}, margin {margin:g}",
                draw=lambda rng, count, n=n, g=gain, b=loss: rng.multinomial(n, [g, b, 1 - g - b], count),
                judge=lambda row, rng, m=margin: rejects(change_equivalence(*pairs(*row), margin=m).no_loss),
                repeats=True,
            )
    for name in ("10 clusters of 5", "40 clusters of 5", "40 clusters of 1 to 20"):
        sizes = (EQUAL | UNEQUAL)[name]
        ids = codes(sizes)
        yield test(
            method="change_equivalence, no loss",
            design=f"{name}, gained 0.05, lost 0.1, correlation 0.3, margin 0.05",
            draw=lambda rng, count, s=sizes: flip_clusters(rng, count, s, 0.05, 0.1, 0.3),
            judge=lambda row, rng, ids=ids: rejects(
                change_equivalence((row > 0).astype(float), (row < 0).astype(float), ids, margin=0.05).no_loss
            ),
            replicates=SOME,
        )
    for n, spread in product((3, 10, 50), (0.05, 1.0)):
        yield test(
            method="equivalence, both sides",
            design=f"{n} normal items at the margin 0.1, standard deviation {spread:g}",
            draw=lambda rng, count, n=n, s=spread: rng.normal(-0.1, s, size=(count, n)),
            judge=lambda row, rng: rejects(
                equivalence(paired_interval(row, np.zeros(row.size)), margin=0.1).p
            ),
        )


def exchanges() -> Iterator[Cell]:
    for n in (3, 6, 10, 40):
        yield test(
            method="sign_test",
            design=f"{n} normal items",
            draw=lambda rng, count, n=n: rng.normal(size=(count, n)),
            judge=lambda row, rng: rejects(sign_test(row, np.zeros(row.size), rng, resamples=FEW)),
            replicates=SOME,
        )
    for m, n in ((2, 2), (3, 3), (5, 5), (3, 40), (40, 40)):
        yield test(
            method="label_test",
            design=f"{m} against {n} items, one distribution",
            draw=lambda rng, count, m=m, n=n: rng.exponential(size=(count, m + n)),
            judge=lambda row, rng, m=m: rejects(label_test(row[:m], row[m:], rng, resamples=FEW)),
            replicates=SOME,
        )
    yield test(
        method="label_test",
        design="40 against 40 right or wrong answers at 0.95",
        draw=lambda rng, count: (rng.random((count, 80)) < 0.95).astype(float),
        judge=lambda row, rng: rejects(label_test(row[:40], row[40:], rng, resamples=FEW)),
        replicates=SOME,
    )
    sizes = (1, 3, 5, 10, 20) * 2
    ids = codes(sizes[:5])
    yield test(
        method="label_test",
        design="5 against 5 clusters of 1 to 20, correlation 0.3",
        draw=lambda rng, count: normal_clusters(rng, count, sizes, 0.3),
        judge=lambda row, rng: rejects(label_test(row[:39], row[39:], rng, ids, ids, resamples=FEW)),
        replicates=SOME,
    )


def trends() -> Iterator[Cell]:
    for doses, runs, ties in ((3, 1, 0), (3, 2, 0), (5, 3, 0), (5, 3, 1), (5, 20, 0), (5, 20, 1)):
        name = f"{doses} doses of {runs} run{'s' * (runs > 1)}{', values rounded to ties' * ties}"
        yield test(
            method="jonckheere",
            design=name,
            draw=lambda rng, count, n=doses * runs, t=ties: _values(rng, count, n, t),
            judge=partial(_dosed, runs=runs),
            replicates=SOME,
        )
    for n, ties in ((3, 0), (4, 0), (5, 0), (10, 0), (10, 1), (40, 0), (40, 1)):
        yield test(
            method="spearman",
            design=f"{n} pairs{', values rounded to ties' * ties}",
            draw=lambda rng, count, n=n, t=ties: _values(rng, count, n, t),
            judge=lambda row, rng: rejects(spearman(row, np.arange(row.size) // 2.0, rng, resamples=FEW).p),
            replicates=SOME,
        )


def _dosed(row: Row, rng: Rng, runs: int) -> Said:
    return rejects(jonckheere(row, np.arange(row.size) // runs, rng, resamples=FEW).p)


def _values(rng: Rng, count: int, n: int, ties: int) -> np.ndarray:
    values = rng.normal(size=(count, n))
    return values.round() if ties else values


def families() -> Iterator[Cell]:
    for alike in (0.0, 0.5):
        yield test(
            method="adjust: any claim",
            design=f"60 true nulls, tests correlated by {alike:g}",
            draw=lambda rng, count, a=alike: _tests(rng, count, 60, a),
            judge=lambda row, rng: Said(float((adjust(2 * ndtr(-np.abs(row))) <= 0.05).any())),
        )
        yield test(
            method="adjust: false among claims",
            design=f"60 tests of which 15 are of effects, correlated by {alike:g}",
            draw=lambda rng, count, a=alike: _tests(rng, count, 60, a) + 3.5 * (np.arange(60) < 15),
            judge=_false_share,
        )
    for items, looks, kind in product((20, 100), (5, 12), ("right", "normal")):
        yield test(
            method="first_loss",
            design=f"{looks} looks at {items} "
            + ("answers at a rate of 0.9" if kind == "right" else "normal values"),
            draw=partial(_looks, items=items, looks=looks, right=kind == "right"),
            judge=lambda row, rng: Said(
                float(first_loss(range(len(row)), row, rng, resamples=FEW).step >= 0)
            ),
            replicates=SOME,
        )
    for name in ("5 clusters of 5", "10 clusters of 5", "40 clusters of 1 to 20"):
        sizes = (EQUAL | UNEQUAL)[name]
        ids = codes(sizes)
        yield test(
            method="first_loss",
            design=f"5 looks at {name}, correlation 0.3",
            draw=lambda rng, count, s=sizes: normal_clusters(rng, count * 5, s, 0.3).reshape(count, 5, -1),
            judge=partial(_lost, ids=ids),
            replicates=SOME,
        )
    for items in (10, 20, 60):
        yield test(
            method="change_point",
            design=f"6 looks at {items} answers, rate 0.3 throughout",
            draw=lambda rng, count, n=items: (rng.random((count, n, 6)) < 0.3).astype(float),
            judge=lambda row, rng: rejects(change_point(range(6), row, rng, resamples=FEW).p),
            replicates=SOME,
        )


def _tests(rng: Rng, count: int, tests: int, alike: float) -> np.ndarray:
    shared, own = rng.normal(size=(count, 1)), rng.normal(size=(count, tests))
    return np.sqrt(alike) * shared + np.sqrt(1 - alike) * own


def _false_share(row: Row, rng: Rng) -> Said:
    claims = adjust(2 * ndtr(-np.abs(row))) <= 0.05
    return Said(float(claims[15:].sum() / max(1, claims.sum())))


def _lost(row: Row, rng: Rng, ids: np.ndarray | None = None) -> Said:
    return Said(float(first_loss(range(len(row)), row, rng, ids, resamples=FEW).step >= 0))


def _looks(rng: Rng, count: int, items: int, looks: int, right: bool) -> np.ndarray:
    """Changes from one start that all looks share. (count, looks, items)."""
    if right:
        ease = rng.beta(4.5, 0.5, size=(count, 1, items))
        seen = (rng.random((count, looks + 1, items)) < ease).astype(float)
    else:
        seen = rng.normal(size=(count, looks + 1, items))
    return seen[:, 1:] - seen[:, :1]
