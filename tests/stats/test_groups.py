import numpy as np

from sft_probe.stats.groups import worst_group_interval
from sft_probe.stats.intervals import share_interval


def test_the_worst_group_has_the_limits_of_all_at_once() -> None:
    values = np.array([1.0] * 9 + [0.0] + [1.0] * 3 + [0.0] * 7 + [np.nan])
    groups = np.array([0] * 10 + [1] * 10 + [2])
    found = worst_group_interval(values, groups)
    alone = share_interval(values[10:20], level=0.975)
    assert (found.value, found.n) == (0.3, 10)
    assert (found.low, found.high) == (alone.low, alone.high)
    assert found.low < share_interval(values[10:20]).low


def test_one_group_is_an_ordinary_share() -> None:
    values = np.array([1.0, 0.0, 1.0, 1.0])
    assert worst_group_interval(values, np.zeros(4, dtype=int)).high == share_interval(values).high


def test_what_cannot_be_said_says_why() -> None:
    assert worst_group_interval(np.array([np.nan]), np.array([0])).why == "no items"
    found = worst_group_interval(np.array([1.0, 0.0, 0.5]), np.array([0, 0, 1]))
    assert (found.value, found.why) == (0.5, "a group has one item")
    assert np.isnan(found.low)


def test_it_covers_the_worst_truth_where_a_plain_interval_is_too_low() -> None:
    draw = np.random.default_rng(0)
    groups = np.repeat(np.arange(6), 40)
    covered, below = 0, 0
    for _ in range(300):
        values = (draw.random(240) < 0.8).astype(float)
        found = worst_group_interval(values, groups)
        covered += found.low <= 0.8 <= found.high
        below += found.value < 0.8
    assert covered >= 0.93 * 300
    assert below > 0.9 * 300  # the lowest of six lies below the truth
