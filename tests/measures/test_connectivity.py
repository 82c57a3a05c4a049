import numpy as np
import pytest

from sft_probe.measures.connectivity import barrier, excess

ALPHAS = np.linspace(0, 1, 5)


def test_straight_and_convex_losses_have_no_barrier() -> None:
    straight = np.outer(1 - ALPHAS, [3.0, 1.0]) + np.outer(ALPHAS, [1.0, 2.0])
    assert excess(straight, ALPHAS) == pytest.approx(np.zeros((5, 2)))
    assert barrier(straight, ALPHAS) == 0
    assert barrier((ALPHAS**2)[:, None], ALPHAS) == 0


def test_a_hill_between_two_models_is_a_barrier() -> None:
    hill = np.array([1.0, 2.0, 4.0, 2.5, 2.0])[:, None]
    assert barrier(hill, ALPHAS) == pytest.approx(4 - 1.5)
    assert excess(hill, ALPHAS)[[0, -1]].tolist() == [[0], [0]]
