"""A model that was intervened upon is bit for bit the model it was."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from sft_probe.models.load import fresh_copy
from sft_probe.models.sharing import shared_copy
from sft_probe.observe.interventions import Ablate, Add, Direction, Graft, Interpolate, Quantise
from sft_probe.observe.interventions.changes import intervene
from sft_probe.observe.interventions.values import PARTS
from sft_probe.observe.lending import HOOKS, lend
from sft_probe.testing.tiny import tiny_base, tiny_lora, tiny_tuned

BASES = {"llama": tiny_base("llama"), "gpt2": tiny_base("gpt2")}
MODELS: list[tuple[nn.Module, nn.Module]] = [
    *((tiny_tuned(base), base.model) for base in BASES.values()),
    *((tiny_lora(base), base.model) for base in BASES.values()),
    *((shared_copy(base.model), base.model) for base in BASES.values()),
]
IDS = torch.arange(3, 12)[None]

directions = st.builds(
    Direction, st.integers(0, 2), st.lists(st.floats(-2, 2), min_size=32, max_size=32).map(tuple)
)
interventions = st.lists(
    st.one_of(
        st.builds(Interpolate, st.floats(-1, 2)),
        st.builds(
            Graft,
            st.none() | st.lists(st.integers(0, 3), max_size=3).map(tuple),
            st.lists(st.sampled_from(PARTS), max_size=4).map(tuple),
            st.sampled_from(["tuned_to_base", "base_to_tuned"]),
            random=st.integers(0, 3),
        ),
        st.builds(
            Graft,
            blocks=st.lists(st.tuples(st.integers(0, 3), st.sampled_from(PARTS)), max_size=4).map(tuple),
            direction=st.sampled_from(["tuned_to_base", "base_to_tuned"]),
            random=st.integers(0, 3),
        ),
        st.builds(Ablate, directions),
        st.builds(Add, directions, st.floats(-3, 3)),
        st.builds(Quantise, st.integers(2, 8)),
    ),
    max_size=4,
)


def everything(model: nn.Module) -> list[Any]:
    """All that could differ afterwards, storage addresses included."""
    named = [*model.named_parameters(), *model.named_buffers()]
    modules = list(model.modules())
    return [
        [(name, tensor.data_ptr(), tensor.detach().numpy().tobytes()) for name, tensor in named],
        [(tensor.requires_grad, tensor.dtype, tensor.grad is None) for _, tensor in named],
        [tuple(dict(getattr(module, kind)).items()) for module in modules for kind in HOOKS],
        [(module.training, getattr(module, "disable_adapters", None)) for module in modules],
        (torch.get_rng_state().numpy().tobytes(), random.getstate(), repr(np.random.get_state())),
    ]


def test_what_is_compared_notices_a_change() -> None:
    model = fresh_copy(BASES["llama"])
    before = everything(model)
    next(model.parameters()).data[0, 0] += 1e-7
    assert everything(model) != before


@settings(max_examples=40)
@given(
    chosen=st.integers(0, len(MODELS) - 1),
    outer=interventions,
    inner=interventions,
    fails=st.sampled_from(["never", "outside", "inside"]),
    lent=st.booleans(),
)
def test_the_model_comes_back_bit_for_bit(
    chosen: int, outer: Any, inner: Any, fails: str, lent: bool
) -> None:
    model, base = MODELS[chosen]
    before = everything(model), everything(base)

    def fail(where: str) -> None:
        if fails == where:
            raise RuntimeError(where)

    def look() -> None:
        with intervene(model, base, outer):
            model(IDS)
            fail("outside")
            with intervene(model, base, inner):
                model(IDS)
                fail("inside")

    def borrow() -> None:
        with lend(model), lend(base):
            look()

    run = borrow if lent else look
    with torch.random.fork_rng(devices=[]):  # dropout of a model that is not lent draws
        if fails == "never":
            run()
        else:
            with pytest.raises(RuntimeError, match=fails):
                run()
    assert (everything(model), everything(base)) == before


def test_a_change_that_cannot_be_made_leaves_nothing_behind() -> None:
    model, base = MODELS[0]
    before = everything(model)
    wrong = Add(Direction(9, (1.0,) * 32))
    with pytest.raises(Exception, match="layer 9"), intervene(model, base, [Interpolate(0.5), wrong]):
        pass
    assert everything(model) == before


def test_a_base_is_intervened_upon_in_a_copy_that_shares_its_weights() -> None:
    base = BASES["llama"].model
    before = everything(base)
    twin = shared_copy(base)
    with lend(twin), lend(base):
        plain = base(IDS).logits
        assert torch.equal(twin(IDS).logits, plain)
        with intervene(twin, base, [Quantise(3), Add(Direction(1, (1.0,) * 32))]):
            assert torch.equal(base(IDS).logits, plain)
            assert not torch.equal(twin(IDS).logits, plain)
        assert torch.equal(twin(IDS).logits, plain)
    assert everything(base) == before


def test_training_goes_on_as_if_nothing_had_happened() -> None:
    """Gradients that are being accumulated and the optimiser's hold on the weights survive."""

    def train(watched: bool) -> list[torch.Tensor]:
        model = fresh_copy(BASES["llama"])
        optimiser = torch.optim.AdamW(model.parameters(), lr=1e-2)
        torch.manual_seed(0)
        for _ in range(3):
            model(IDS).logits.square().mean().backward()
            if watched:
                with lend(model), intervene(model, BASES["llama"].model, [Interpolate(0.3), Quantise(4)]):
                    model(IDS)
            optimiser.step()
            optimiser.zero_grad()
        return list(model.parameters())

    assert all(torch.equal(a, b) for a, b in zip(train(True), train(False), strict=True))
