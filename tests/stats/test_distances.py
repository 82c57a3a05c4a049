from __future__ import annotations

from math import isnan, log, sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sft_probe.stats.distances import ks_interval

LENGTHS = st.lists(st.integers(0, 30), min_size=1, max_size=40).map(lambda x: np.array(x, dtype=float))


@given(one=LENGTHS, other=LENGTHS)
def test_limits_hold_the_distance_and_stay_inside(one: np.ndarray, other: np.ndarray) -> None:
    there, back = ks_interval(one, other), ks_interval(other, one)
    assert there.value == back.value
    assert 0 <= there.low <= there.value <= there.high <= 1
    assert ks_interval(one, one).value == 0


def test_known_limits() -> None:
    one, other = np.array([1.0, 2, 3, 4] * 10), np.array([3.0, 4, 5, 6])
    band = sqrt(log(40) / 80)
    found = ks_interval(one, other)
    assert (found.value, found.low, found.high) == pytest.approx((0.5, 0.5 - band, 0.5 + band))
    both = ks_interval(one, other, given=False)
    assert both.low == pytest.approx(0.5 - 2 * band)
    grouped = ks_interval(one, other, np.arange(40) // 2)
    assert grouped.n_clusters == 20
    assert grouped.high - grouped.low > found.high - found.low


def test_nothing_to_compare_is_undefined() -> None:
    found = ks_interval(np.empty(0), np.ones(3))
    assert isnan(found.value)
    assert found.why


@pytest.mark.parametrize("shift", [0, 1, 4])
@pytest.mark.parametrize("paired", [True, False])
def test_coverage(shift: int, paired: bool) -> None:
    """Lengths 6 to 15 against the same, or moved; the other sample as given, or drawn with as many items."""
    rng, true, covered = np.random.default_rng(0), shift / 10, 0
    for _ in range(200):
        one = rng.integers(6, 16, 40) + shift
        other = rng.integers(6, 16, 40) if paired else np.arange(6, 16)
        found = ks_interval(one.astype(float), other.astype(float), given=not paired)
        covered += found.low <= true + 1e-9 and true <= found.high + 1e-9
    assert covered >= 190
