from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from sft_probe.report import summaries
from sft_probe.report.material import Material


def items(changes: dict[int, list[int]], *, clusters: int | None = None) -> pd.DataFrame:
    """Rows as of `before_and_after` for seeds with -1, 0 or 1 per item."""
    return pd.DataFrame(
        [
            {
                "arm": "a",
                "seed": seed,
                "dataset": "d",
                "item": str(i),
                "cluster": str(i % clusters) if clusters else "",
                "before": float(change < 0),
                "after": float(change > 0),
            }
            for seed, values in changes.items()
            for i, change in enumerate(values)
        ]
    )


def test_a_change_is_the_mean_over_seeds_and_items() -> None:
    found = summaries.change(items({0: [1, 1, 0, 0], 1: [1, 0, 0, 0]}))
    assert found.estimate.value == pytest.approx(0.375)
    assert found.per_seed == (0.5, 0.25)
    assert (found.n, found.n_clusters) == (4, 4)
    assert found.estimate.low < 0.375 < found.estimate.high


def test_clusters_widen_the_interval() -> None:
    rng = np.random.default_rng(0)
    by_person = np.repeat(rng.integers(0, 2, 10), 10).tolist()
    frame = items({0: by_person, 1: by_person})
    people = frame.assign(cluster=[str(int(i) // 10) for i in frame["item"]])
    alone, clustered = (summaries.change(rows).estimate for rows in (frame, people))
    assert clustered.value == alone.value
    assert clustered.high - clustered.low > 2 * (alone.high - alone.low)


def test_no_flip_is_not_certainty() -> None:
    found = summaries.change(items({0: [0] * 200, 1: [0] * 200}))
    assert found.estimate.value == 0
    assert found.estimate.low < 0 < found.estimate.high
    assert 0 < found.detectable < 0.05
    assert found.direction == 0


def test_a_direction_needs_every_seed() -> None:
    agreeing = summaries.change(items({0: [-1] * 40 + [0] * 10, 1: [-1] * 38 + [0] * 12}))
    assert agreeing.direction == -1
    torn = summaries.change(items({0: [1] * 40 + [0] * 10, 1: [-1] * 2 + [0] * 48}))
    assert torn.estimate.low > 0
    assert torn.direction == 0


def test_one_seed_has_no_interval_for_new_seeds() -> None:
    found = summaries.change(items({0: [1, 0, 0, 1, 0]}))
    assert math.isnan(found.anew.low)


def test_nothing_measured_is_unknown() -> None:
    assert summaries.change(items({})) is summaries.UNKNOWN
    assert math.isnan(summaries.UNKNOWN.detectable)


def test_a_contrast_pairs_items_and_seeds() -> None:
    more, less = items({0: [1, 1, 1, 0], 1: [1, 1, 1, 0]}), items({0: [1, 0, 0, 0], 1: [1, 0, 0, 0]})
    found = summaries.contrast(more, less)
    assert found.estimate.value == pytest.approx(0.5)
    assert summaries.contrast(more, less.head(0)) is summaries.UNKNOWN


def test_seed_means_keep_the_range_of_seeds(material: Material) -> None:
    table = summaries.over_seeds(material.measurements, material.items)
    row = table.query("arm == 'full' and metric == 'exact_match' and stratum == '' and step == 30").iloc[0]
    assert row["seeds"] == 2
    assert row["seed_low"] < row["value"] < row["seed_high"]
    assert row["value"] == pytest.approx((row["seed_low"] + row["seed_high"]) / 2)
    assert 0 <= row["ci_low"] < row["value"] < row["ci_high"] <= 1
