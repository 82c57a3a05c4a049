import numpy as np
import pytest
from scipy import stats

from sft_probe.stats.permutation import label_test, sign_test


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_signs_of_right_and_wrong_are_mcnemar_exact() -> None:
    after, before = np.repeat([[1, 0], [0, 1], [1, 1]], [9, 2, 30], axis=0).T.astype(float)
    assert sign_test(after, before, rng()) == pytest.approx(stats.binomtest(2, 11).pvalue)


def test_clusters_change_sign_whole() -> None:
    after = np.repeat([1.0, 2.0, 1.5, 0.5], 5)
    assert sign_test(after, np.zeros(20), rng(), np.repeat(np.arange(4), 5)) == pytest.approx(2 / 16)
    assert sign_test(after, np.zeros(20), rng()) < 1e-3


@pytest.mark.parametrize(("n", "p"), [(0, np.nan), (1, 1.0), (2, 0.5)])
def test_small_numbers_of_signs(n: int, p: float) -> None:
    np.testing.assert_equal(sign_test(np.ones(n), np.zeros(n), rng()), p)


def test_nothing_changed() -> None:
    assert sign_test(np.ones(9), np.ones(9), rng()) == 1


def test_labels_are_fishers_test_for_right_and_wrong() -> None:
    a, b = np.repeat([1.0, 0.0], [6, 1]), np.repeat([1.0, 0.0], [1, 6])
    assert label_test(a, b, rng()) == pytest.approx(stats.fisher_exact([[6, 1], [1, 6]]).pvalue)


def test_labels_move_with_their_clusters() -> None:
    a, b = np.repeat([1.0, 2.0], 8), np.repeat([3.0, 4.0], 8)
    codes = np.repeat([0, 1], 8)
    assert label_test(a, b, rng(), codes, codes) == pytest.approx(2 / 6)
    assert label_test(a, b, rng()) < 0.01
    assert np.isnan(label_test(a[:0], b, rng()))
