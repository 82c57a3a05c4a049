import math

import pytest
import torch

from sft_probe.measures.attention import mass_on, pattern_distance, pattern_entropy

EVEN, ONE = torch.full((4,), 0.25), torch.tensor([0.0, 1, 0, 0])


def test_entropy() -> None:
    assert pattern_entropy(EVEN).item() == pytest.approx(math.log(4))
    assert pattern_entropy(ONE).item() == 0


def test_distance_is_a_metric_between_0_and_1() -> None:
    p, q, r = torch.distributions.Dirichlet(torch.ones(5)).sample((3, 100))
    assert (pattern_distance(p, q) <= pattern_distance(p, r) + pattern_distance(r, q) + 1e-6).all()
    torch.testing.assert_close(pattern_distance(p, q), pattern_distance(q, p))
    assert pattern_distance(ONE, ONE.roll(1)).item() == 1
    assert pattern_distance(EVEN, ONE).item() == 0.75
    assert (pattern_distance(p, p) == 0).all()


def test_mass_by_kind() -> None:
    kinds = torch.tensor([[1, 0, 0, 0], [0, 1, 1, 0], [0, 0, 0, 1]])
    assert mass_on(torch.stack([EVEN, ONE]), kinds).tolist() == [[0.25, 0.5, 0.25], [0, 1, 0]]
