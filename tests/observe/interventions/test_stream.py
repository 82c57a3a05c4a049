from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from sft_probe.errors import SpecError
from sft_probe.models.anatomy import anatomy, residual
from sft_probe.observe.interventions import Ablate, Add, Direction, MeanShift, ModelIntervention
from sft_probe.observe.interventions.changes import intervene
from sft_probe.observe.interventions.stream import shifted, without_component
from sft_probe.observe.lending import lend
from sft_probe.testing.tiny import ARCHITECTURES, tiny_base, tiny_lora, tiny_tuned

BASES = {architecture: tiny_base(architecture) for architecture in ARCHITECTURES}
IDS = torch.arange(3, 40)[None]
VALUES = torch.linspace(-1, 2, 32)


def at(layer: int) -> Direction:
    return Direction(layer, tuple(VALUES.tolist()))


def streams(model: nn.Module, *interventions: ModelIntervention) -> list[Tensor]:
    """What enters the first block, and what leaves every block, under interventions."""
    seen: list[Tensor] = []
    blocks = anatomy(model).blocks
    with lend(model), intervene(model, model, interventions):
        blocks[0].register_forward_pre_hook(lambda _, args: seen.append(args[0].clone()))
        for block in blocks:
            block.register_forward_hook(lambda _, __, output: seen.append(residual(output).clone()))
        model(IDS)
    return seen


def test_projections_by_hand() -> None:
    hidden = torch.tensor([[3.0, 4.0], [1.0, -1.0]])
    torch.testing.assert_close(
        without_component(hidden, torch.tensor([0.0, 5.0])), torch.tensor([[3.0, 0.0], [1.0, 0.0]])
    )
    torch.testing.assert_close(
        without_component(hidden, torch.tensor([1.0, 1.0])), torch.tensor([[-0.5, 0.5], [1.0, -1.0]])
    )
    assert torch.equal(without_component(hidden, torch.zeros(2)), hidden)
    assert torch.equal(shifted(hidden, torch.tensor([1.0, -2.0])), torch.tensor([[4.0, 2.0], [2.0, -3.0]]))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("make", [tiny_tuned, tiny_lora])
def test_nothing_is_left_along_an_ablated_direction(architecture: Any, make: Any) -> None:
    model = make(BASES[architecture])
    unit = VALUES / VALUES.norm()
    plain = streams(model)
    for before, after in zip(plain, streams(model, Ablate(at(1))), strict=True):
        assert (after @ unit).abs().max() < 1e-4 * before.norm(dim=-1).max()
    assert all((state @ unit).abs().max() > 0.01 for state in plain)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_ablating_reaches_what_the_mlp_reads(architecture: Any) -> None:
    """If attention could still write along the direction, blocks rebuilt by hand would differ."""
    model, unit = tiny_tuned(BASES[architecture]), VALUES / VALUES.norm()
    parts, read = anatomy(model), []
    mlp_norm = {"llama": "post_attention_layernorm", "gpt2": "ln_2", "gpt_neox": "post_attention_layernorm"}
    with lend(model), intervene(model, model, [Ablate(at(0))]):
        for block in parts.blocks:
            block.get_submodule(mlp_norm[architecture]).register_forward_pre_hook(
                lambda _, args: read.append(args[0].clone())
            )
        model(IDS)
    assert max(float((state @ unit).abs().max()) for state in read) < 1e-4


def test_adding_moves_by_scale_at_its_layer() -> None:
    model = tiny_tuned(BASES["llama"])
    plain = streams(model)
    for layer in range(3):
        moved = streams(model, Add(at(layer), -2.5))
        for i in range(layer):
            assert torch.equal(moved[i], plain[i])
        expected = plain[layer] - 2.5 * VALUES
        torch.testing.assert_close(moved[layer], expected)


def test_an_ablated_direction_that_is_then_added_is_there_exactly() -> None:
    model = tiny_tuned(BASES["gpt2"])
    last = streams(model, Ablate(at(2)), Add(at(2), 3.0))[-1]
    along = last @ VALUES / VALUES.norm() ** 2
    torch.testing.assert_close(along, torch.full_like(along, 3.0))


@pytest.mark.parametrize(
    ("intervention", "says"),
    [
        (Add(at(3)), "layer 3 does not fit a model of 2 blocks"),
        (Ablate(Direction(1, (1.0, 2.0))), "2 numbers does not fit states of 32"),
        (Ablate(MeanShift("test", 1)), "has not been measured yet"),
    ],
)
def test_directions_that_do_not_fit_are_named(intervention: ModelIntervention, says: str) -> None:
    with pytest.raises(SpecError, match=says):
        streams(tiny_tuned(BASES["llama"]), intervention)
