import numpy as np
import pytest

from sft_probe.measures.training import Moments, gradient_power, top_share


def adam(gradients: np.ndarray, betas: tuple[float, float]) -> Moments:
    first = second = np.zeros(gradients.shape[1])
    for gradient in gradients:
        first = betas[0] * first + (1 - betas[0]) * gradient
        second = betas[1] * second + (1 - betas[1]) * gradient**2
    return Moments(first, second, betas, len(gradients))


@pytest.mark.parametrize("steps", [2, 5, 40])
@pytest.mark.parametrize("mean", [0.0, 0.5])
def test_signal_and_noise_of_known_gradients(steps: int, mean: float) -> None:
    n = 200_000
    gradients = np.random.default_rng(0).normal(mean, 2.0, size=(steps, n))
    power = gradient_power(adam(gradients, (0.9, 0.999)))
    assert power is not None
    assert power.signal / n == pytest.approx(mean**2, abs=0.05)
    assert power.noise / n == pytest.approx(4.0, rel=0.02)


def test_gradients_that_never_vary_are_all_signal() -> None:
    power = gradient_power(adam(np.full((10, 3), 2.0), (0.9, 0.95)))
    assert power is not None
    assert power == pytest.approx((12.0, 0.0), abs=1e-9)
    assert gradient_power(adam(np.ones((1, 3)), (0.9, 0.95))) is None, "one gradient has no spread"


def test_top_share() -> None:
    assert top_share(np.ones(1000)) == pytest.approx(0.01)
    assert top_share(np.eye(1, 500)[0]) == 1
    assert top_share(np.array([3.0, 1.0])) == 0.75
    assert np.isnan(top_share(np.zeros(4)))
