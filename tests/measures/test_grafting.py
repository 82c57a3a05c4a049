from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sft_probe.measures.grafting import Path, first_carrying, greedy, held_back, share_by_item
from sft_probe.stats.intervals import mean_interval


def test_items_are_held_back_with_their_whole_cluster() -> None:
    assert held_back(np.array([0, 1, 2, 2, 3, 1])).tolist() == [False, False, False, False, True, False]
    assert held_back(np.array([], dtype=np.int64)).tolist() == []
    assert not held_back(np.zeros(6, dtype=np.int64)).any()


def test_a_share_by_hand() -> None:
    base, tuned = np.array([0.0, 0.0]), np.array([2.0, 4.0])
    grafted = np.array([1.0, 2.0])  # half of the gain of each item: the share has no spread
    assert share_by_item(base, tuned, grafted).tolist() == [0.5, 0.5]
    other = share_by_item(base, tuned, np.array([2.0, 1.0]))  # (2 + 1) / (2 + 4)
    assert other.mean() == 0.5
    assert other.tolist() == [pytest.approx(0.5 + (2 - 1) / 3), pytest.approx(0.5 + (1 - 2) / 3)]
    assert np.isnan(share_by_item(tuned, base, grafted)).all()


def test_the_interval_of_a_share_covers() -> None:
    """Ratio of means 0.4, skewed gains, 40 items: the 95 % interval holds it in about 95 % of 400 draws."""
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(400):
        gain = rng.gamma(2.0, 1.0, 40)
        base = rng.normal(size=40)
        grafted = base + 0.4 * gain + rng.normal(scale=0.5, size=40)
        found = mean_interval(share_by_item(base, base + gain, grafted))
        held += found.low <= 0.4 <= found.high
    assert 0.92 <= held / 400 <= 0.98


def test_the_first_that_carries_enough_by_hand() -> None:
    sums = np.array([[10.0, 5.0, 9.0, 10.0], [10.0, 9.5, 2.0, 3.0], [10.0, 1, 2, 3], [-1.0, 5.0, 5.0, 5.0]])
    assert first_carrying(sums, 0.9).tolist() == [2, 1, 4, 4]


VALUES = {"a": 5.0, "b": 3.0, "c": 1.0, "d": 0.0}


def total(blocks: tuple[str, ...]) -> float:
    return sum(VALUES[block] for block in blocks)


def test_blocks_that_add_up_are_taken_by_size() -> None:
    found = greedy(total, VALUES, VALUES, enough=9.0, width=2, most=4)
    assert found == Path(("a", "b", "c"), (5.0, 8.0, 9.0))
    assert greedy(total, VALUES, VALUES, enough=9.0, width=2, most=2).blocks == ("a", "b")
    assert greedy(total, {}, {}, enough=1.0, width=2, most=2) == Path()


def test_blocks_that_only_work_together_are_found_by_their_promise() -> None:
    """c and d do nothing alone and everything together; what they do at the end says so."""

    def score(blocks: tuple[str, ...]) -> float:
        return 10.0 * ({"c", "d"} <= set(blocks)) + 0.1 * ("a" in blocks)

    alone = {block: score((block,)) for block in VALUES}
    promise = {"a": 0.1, "b": 0.0, "c": 5.0, "d": 5.0}
    found = greedy(score, alone, promise, enough=10.0, width=2, most=4)
    assert found.blocks == ("a", "c", "d")
    assert Path(("a", "c"), (2.0, 1.0)).best() == Path(("a",), (2.0,))
    assert Path().best() == Path()


@given(st.dictionaries(st.integers(0, 20), st.floats(0, 10), min_size=1), st.integers(1, 4))
def test_what_is_tried_is_bounded_and_nothing_is_taken_twice(values: dict[int, float], width: int) -> None:
    asked: list[tuple[int, ...]] = []

    def score(blocks: tuple[int, ...]) -> float:
        asked.append(blocks)
        return sum(values[block] for block in blocks)

    found = greedy(score, values, values, enough=np.inf, width=width, most=len(values))
    assert set(found.blocks) == set(values)
    assert len(asked) <= width * (len(values) - 1)
    assert list(found.scores) == sorted(found.scores)
