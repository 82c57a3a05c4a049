import numpy as np
import pytest

from sft_probe.measures.relearning import halves, savings


def test_savings_are_the_ratio_of_times_to_one_half() -> None:
    steps = np.array([0.0, 1, 2, 4])
    found = savings(steps, np.array([0, 0.5, 1, 1]), np.array([0, 0, 0.25, 0.75]))
    assert found.revive == 1
    assert found.learn == pytest.approx(3)
    assert found.ratio == pytest.approx(1 / 3)
    assert np.isnan(savings(steps, np.zeros(4), np.ones(4)).ratio)


def test_halves_hold_whole_clusters() -> None:
    clusters = np.repeat(np.arange(7), 3)
    practised = halves(clusters, np.random.default_rng(0))
    assert practised.sum() == 4 * 3
    assert all(len(set(practised[clusters == c])) == 1 for c in range(7))
