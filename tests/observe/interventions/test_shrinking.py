"""An intruder planted into one matrix is found, shrunk by the factor asked for, and put back."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from sft_probe.models.anatomy import anatomy
from sft_probe.models.load import fresh_copy
from sft_probe.observe.interventions import ShrinkIntruders
from sft_probe.observe.interventions.changes import intervene
from sft_probe.observe.lending import lend
from sft_probe.testing.tiny import tiny_base, tiny_tuned

BASE = tiny_base("llama")


def matrix(model: Any) -> nn.Parameter:
    found: nn.Parameter = anatomy(model).blocks[0].mlp.down_proj.weight  # type: ignore[union-attr,assignment]
    return found


@pytest.fixture
def planted() -> nn.Module:
    """Equally far from every left singular vector of the base, and larger than its largest value."""
    model = fresh_copy(BASE)
    weight = matrix(model)
    left, values, right = torch.linalg.svd(weight.detach())
    with torch.no_grad():
        weight.data += 3 * values[0] * torch.outer(left.sum(1) / left.shape[0] ** 0.5, right[-1])
    return model


@pytest.mark.parametrize("factor", [0.0, 0.3, 1.0])
def test_the_planted_direction_is_shrunk_and_nothing_else(planted: nn.Module, factor: float) -> None:
    before = {name: weight.detach().clone() for name, weight in planted.named_parameters()}
    own = matrix(planted).detach().numpy().astype(float)
    left, values, right = np.linalg.svd(own)
    with lend(planted), intervene(planted, BASE.model, [ShrinkIntruders(factor)]):
        changed = {n for n, w in planted.named_parameters() if not torch.equal(w, before[n])}
        found = matrix(planted).detach().numpy().astype(float)
    step = (factor - 1) * values[0] * np.outer(left[:, 0], right[0])
    np.testing.assert_allclose(found, own + step, atol=1e-5)
    assert len(changed) == (factor < 1)
    base = matrix(BASE.model).detach().numpy()
    if factor == 0:
        assert np.linalg.norm(found - base) < 0.3 * np.linalg.norm(own - base), "most of the change is undone"
    assert all(torch.equal(weight, before[name]) for name, weight in planted.named_parameters())


def test_its_neighbour_is_another_direction_of_the_same_matrix(planted: nn.Module) -> None:
    own = matrix(planted).detach().numpy().astype(float)
    with lend(planted), intervene(planted, BASE.model, [ShrinkIntruders(0.0, instead=True)]):
        gone = own - matrix(planted).detach().numpy()
    left, values, right = np.linalg.svd(own)
    share = np.diag(left.T @ gone @ right.T[:, : len(values)]) / values
    assert np.flatnonzero(share > 0.5).tolist() != [0]
    assert share.sum() == pytest.approx(1, abs=1e-3), "one direction is gone, and it is not the planted one"
    assert share[0] == pytest.approx(0, abs=1e-3)


def test_a_change_without_intruders_stays_as_it_is() -> None:
    model = tiny_tuned(BASE)
    before = [weight.detach().clone() for weight in model.parameters()]
    with lend(model), intervene(model, BASE.model, [ShrinkIntruders(0.0, epsilon=1e-6)]):
        assert all(map(torch.equal, model.parameters(), before))
