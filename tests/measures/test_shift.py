import numpy as np
import pytest

from sft_probe.measures.shift import (
    common_share,
    common_share_without_groups,
    mean_shift_length,
    mean_shift_without_groups,
)

RNG = np.random.default_rng(0)


def test_one_and_the_same_change_is_wholly_common() -> None:
    assert common_share(np.tile(RNG.normal(size=6), (20, 1))) == pytest.approx(1)
    assert common_share(np.array([[1.0, 0], [-1, 0]])) == -1


def test_unrelated_changes_share_nothing_on_average() -> None:
    shares = [common_share(RNG.normal(size=(30, 8))) for _ in range(400)]
    assert np.mean(shares) == pytest.approx(0, abs=4 * np.std(shares) / 20)


def test_half_of_the_squares_common_is_found() -> None:
    common = RNG.normal(size=50)
    moved = common + RNG.normal(size=(4000, 50)) * np.linalg.norm(common) / np.sqrt(50)
    assert common_share(moved) == pytest.approx(0.5, abs=0.02)


def test_length() -> None:
    base = RNG.normal(size=(5000, 10))
    moved = np.tile([3.0] + [0] * 9, (5000, 1))
    assert mean_shift_length(moved, base) == pytest.approx(3 / np.sqrt(10), rel=0.02)
    assert mean_shift_length(np.zeros_like(base), base) == 0
    assert np.isnan(mean_shift_length(moved, np.ones_like(base)))


def test_leaving_out() -> None:
    moved, base, groups = RNG.normal(size=(30, 4)), RNG.normal(size=(30, 4)), np.arange(30) % 3
    rest = groups != 2
    assert common_share_without_groups(moved, groups).without[2] == common_share(moved[rest])
    assert mean_shift_without_groups(moved, base, groups).without[2] == mean_shift_length(
        moved[rest], base[rest]
    )


def test_nothing_moved() -> None:
    assert np.isnan(common_share(np.zeros((5, 2))))
    assert np.isnan(common_share(np.ones((1, 2))))
