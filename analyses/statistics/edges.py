"""What every function says when there is next to nothing to say something about."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from sft_probe.stats.contrasts import change_equivalence, change_interval, change_test, paired_interval
from sft_probe.stats.flips import first_loss, seed_flip_rate
from sft_probe.stats.intervals import Interval, mean_interval, share_interval
from sft_probe.stats.permutation import label_test, sign_test
from sft_probe.stats.resampling import bootstrap_interval, hierarchical_interval
from sft_probe.stats.seeds import over_seeds, over_seeds_and_items
from sft_probe.stats.timelines import half_time
from sft_probe.stats.trends import jonckheere, spearman
from sft_probe.stats.two_samples import auc_interval, difference_interval


class Edge(NamedTuple):
    """said: limits or a p-value, and the reason where there are none."""

    function: str
    case: str
    said: str


def edges() -> Iterator[Edge]:
    """No item, one, two; one cluster; one seed; all alike."""
    rng = np.random.default_rng(0)
    for n in (0, 1, 2):
        x, y = np.arange(n, dtype=float) % 2, np.zeros(n)
        case = ("no item", "one item", "two items")[n]
        found: dict[str, Interval] = {
            "mean_interval": mean_interval(x),
            "share_interval": share_interval(x),
            "paired_interval": paired_interval(x, y),
            "change_interval": change_interval(x, y),
            "difference_interval": difference_interval(x, y),
            "auc_interval": auc_interval(x, y),
            "spearman": spearman(x, y, rng).estimate,
            "jonckheere": jonckheere(x, y, rng).estimate,
        }
        yield from (Edge(name, case, _interval(interval)) for name, interval in found.items())
        tests = {
            "change_test": change_test(x, y),
            "change_equivalence": change_equivalence(x, y, margin=0.02).p,
            "sign_test": sign_test(x, y, rng),
            "label_test": label_test(x, y, rng),
            "first_loss": float(first_loss([1], -x[None, :], rng).p[0]),
        }
        yield from (Edge(name, case, _test(p)) for name, p in tests.items())
    for n in (1, 2):
        seeds = ("one seed", "two seeds that are alike")[n - 1]
        yield Edge("over_seeds", seeds, _interval(over_seeds(np.full(n, 0.5))))
        table = np.tile([0.0, 1.0, 1.0], (n, 1))
        yield Edge("over_seeds_and_items", seeds, _interval(over_seeds_and_items(table)))
        yield Edge("hierarchical_interval", seeds, _interval(hierarchical_interval(np.mean, table, rng)))
        yield Edge("seed_flip_rate", seeds, _interval(seed_flip_rate(table)))
    one = np.zeros(4, dtype=np.int64)
    yield Edge("mean_interval", "one cluster of four", _interval(mean_interval(np.arange(4.0), one)))
    sums = np.array([[1.0, 2.0]])
    yield Edge(
        "bootstrap_interval", "one cluster", _interval(bootstrap_interval(lambda s: s[:, 0], sums, rng))
    )
    yield Edge("half_time", "no change at all", _interval(half_time([0, 1], np.ones((1, 9, 2)))))
    yield Edge("change_interval", "20 items, no flip", _interval(change_interval(np.ones(20), np.ones(20))))
    yield Edge("share_interval", "20 items, all right", _interval(share_interval(np.ones(20))))


def _interval(found: Interval) -> str:
    return f"none: {found.why}" if found.why else f"{found.low:.3f} to {found.high:.3f}"


def _test(p: float) -> str:
    return "no p-value" if np.isnan(p) else f"p = {p:.3g}"
