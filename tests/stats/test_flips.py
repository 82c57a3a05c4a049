from math import isnan

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sft_probe.stats.flips import (
    count_flips,
    excess_churn,
    first_loss,
    flip_intervals,
    sampled_churn,
    seed_flip_rate,
)
from sft_probe.stats.intervals import share_interval

BITS = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=40)


@given(BITS)
def test_counts_add_up(pairs: list[tuple[bool, bool]]) -> None:
    after, before = np.array(pairs, float).T
    found = count_flips(after, before)
    assert found.n == len(pairs)
    assert found.gained - found.lost == after.sum() - before.sum()
    assert found.gained == count_flips(before, after).lost


def test_kappa_of_a_known_table() -> None:
    # Cohen 1960's form: both right 20, both wrong 15, 5 gained, 10 lost: (0.7 - 0.5) / 0.5
    after, before = np.repeat([[1, 0], [0, 1], [1, 1], [0, 0]], [5, 10, 20, 15], axis=0).T.astype(float)
    assert count_flips(after, before).kappa == pytest.approx(0.4)
    assert isnan(count_flips(after[:0], before[:0]).kappa)


def test_one_bootstrap_for_all_shares() -> None:
    rng = np.random.default_rng(0)
    before, after = (rng.random((2, 400)) < 0.5).astype(float)
    found = flip_intervals(after, before, np.arange(400), rng)
    alone = share_interval((after > before).astype(float))
    assert found["gained"].value == alone.value
    assert (found["gained"].low, found["gained"].high) == pytest.approx((alone.low, alone.high), abs=0.01)
    assert found["net"].value == pytest.approx(found["gained"].value - found["lost"].value)


def test_two_seeds_flip_where_they_differ() -> None:
    scores = np.array([[1, 1, 0, 0, 1], [1, 0, 0, 1, 1]], float)
    assert seed_flip_rate(scores).value == pytest.approx(0.4)
    assert seed_flip_rate(np.vstack([scores, scores[:1]])).value == pytest.approx(2 * 0.4 / 3)
    assert seed_flip_rate(scores[:1]).why == "one seed"


def test_drawing_anew_has_no_excess_churn() -> None:
    rng = np.random.default_rng(5)
    chances = rng.beta(2, 2, size=4000)
    drawn = (rng.random((4, 4000)) < chances).astype(float)
    found = excess_churn(drawn[0], drawn[1:])
    assert found.low < 0 < found.high
    assert seed_flip_rate(drawn).value == pytest.approx(sampled_churn(chances, chances).mean(), abs=0.02)
    assert sampled_churn(chances, chances).mean() == pytest.approx(0.4, abs=0.02)
    assert excess_churn(drawn[0], drawn[1:2]).why == "one seed"


def test_the_first_sure_loss() -> None:
    rng = np.random.default_rng(2)
    losses = np.array([0.0, 0.0, 0.3, 0.5])
    changes = -(rng.random((4, 200)) < losses[:, None] + 0.05).astype(float)
    changes[rng.random((4, 200)) < 0.05] = 1
    assert first_loss([1, 3, 10, 30], changes, rng).step == 10
    assert isnan(first_loss([1, 3, 10, 30], -changes, rng).step)
    assert isnan(first_loss([1, 3], np.zeros((2, 50)), rng).step)
