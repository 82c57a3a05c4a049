import numpy as np
import pytest
from numpy import nan

from sft_probe.stats.families import adjust, adjust_together, cluster_sums


def test_adjusting_a_family() -> None:
    np.testing.assert_allclose(adjust(np.array([0.01, nan, 0.04, 0.03])), [0.03, nan, 0.04, 0.04])
    np.testing.assert_array_equal(adjust(np.array([nan])), [nan])
    assert adjust(np.array([])).size == 0


def test_one_mean_gives_the_sign_test() -> None:
    found = adjust_together(np.array([[1.0], [2.0], [3.0]]), np.random.default_rng(0))
    assert found.tolist() == [2 / 8]
    less = adjust_together(-np.array([[1.0], [2.0], [3.0]]), np.random.default_rng(0), side="less")
    assert less.tolist() == [1 / 8]


def test_copies_of_a_column_cost_nothing_and_others_do() -> None:
    rng = np.random.default_rng(1)
    one = rng.normal(0.3, 1, size=(60, 1))
    alone = adjust_together(one, np.random.default_rng(0))[0]
    copies = adjust_together(np.repeat(one, 5, axis=1), np.random.default_rng(0))
    np.testing.assert_allclose(copies, alone)
    others = adjust_together(np.hstack([one, rng.normal(size=(60, 9))]), np.random.default_rng(0))
    assert others[0] > alone


def test_nothing_changed_is_nothing_shown() -> None:
    assert adjust_together(np.zeros((20, 3)), np.random.default_rng(0)).tolist() == [1, 1, 1]
    assert np.isnan(adjust_together(np.ones((4, 2)), np.random.default_rng(0), np.zeros(4, int))).all()
    assert np.isnan(adjust_together(np.ones((0, 2)), np.random.default_rng(0))).all()


def test_clusters_flip_together() -> None:
    values = np.repeat([[1.0], [1.0], [1.0]], 10, axis=0)
    clusters = np.repeat([4, 7, 9], 10)
    assert cluster_sums(values, clusters)[:, 0].tolist() == [10, 10, 10]
    assert adjust_together(values, np.random.default_rng(0), clusters)[0] == pytest.approx(0.25)
