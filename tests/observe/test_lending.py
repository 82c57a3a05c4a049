from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
import torch

from sft_probe.models.load import fresh_copy
from sft_probe.observe.lending import lend
from sft_probe.testing.conformance import fingerprint
from sft_probe.testing.tiny import tiny_base


def random_draws() -> tuple[float, float, float]:
    return torch.rand(1).item(), random.random(), float(np.random.rand())


def misuse(model: Any) -> None:
    """Everything a borrower could leave behind."""
    model.register_forward_hook(lambda *_: None)
    model.get_input_embeddings().register_forward_pre_hook(lambda *_: None)
    model.config.use_cache = False
    model.train()
    random_draws()


@pytest.mark.parametrize("fails", [False, True])
def test_everything_is_given_back_also_after_an_exception(fails: bool) -> None:
    model: Any = fresh_copy(tiny_base())
    model.get_input_embeddings().eval()  # a mixture of modes must survive
    model.gradient_checkpointing_enable()
    own = model.register_forward_hook(lambda *_: None)
    before = fingerprint(model)
    torch.manual_seed(5)
    random.seed(5)
    np.random.seed(5)
    expected = random_draws()
    torch.manual_seed(5)
    random.seed(5)
    np.random.seed(5)

    def borrow() -> None:
        with lend(model) as lent:
            misuse(lent)
            if fails:
                raise RuntimeError("probe failed")

    if fails:
        with pytest.raises(RuntimeError, match="probe failed"):
            borrow()
    else:
        borrow()
    assert fingerprint(model) == before
    assert any(getattr(module, "gradient_checkpointing", False) for module in model.modules())
    assert own.id in model._forward_hooks
    assert random_draws() == expected
    assert torch.is_grad_enabled()


def test_a_lent_model_is_quiet() -> None:
    model: Any = fresh_copy(tiny_base())
    model.gradient_checkpointing_enable()
    with lend(model) as lent:
        assert not any(module.training for module in lent.modules())
        assert not any(getattr(module, "gradient_checkpointing", False) for module in lent.modules())
        assert not lent(torch.tensor([[3, 4]])).logits.requires_grad


def test_gradients_that_are_being_accumulated_survive() -> None:
    model = fresh_copy(tiny_base())
    model(torch.tensor([[3, 4, 5]])).logits.sum().backward()
    before = [weight.grad.clone() for weight in model.parameters() if weight.grad is not None]
    with lend(model) as lent:
        lent(torch.tensor([[6, 7]]))
    after = [weight.grad for weight in model.parameters() if weight.grad is not None]
    assert before
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


def test_mixed_precision_training_is_looked_at_in_full_precision() -> None:
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState

    model: Any = fresh_copy(tiny_base())
    ids = torch.arange(3, 30)[None]
    expected = model.eval()(ids).logits
    AcceleratorState._reset_state(reset_partial_state=True)
    try:
        prepared: Any = Accelerator(cpu=True, mixed_precision="bf16").prepare(model)
        assert not torch.equal(prepared(ids).logits, expected)
        wrapped = prepared.forward
        with lend(prepared) as lent:
            assert torch.equal(lent(ids).logits, expected)
        assert prepared.forward is wrapped
    finally:
        AcceleratorState._reset_state(reset_partial_state=True)


def test_router_logits_of_a_mixture_of_experts_are_off_while_it_is_lent() -> None:
    model: Any = fresh_copy(tiny_base())
    model.config.output_router_logits = True  # as TRL sets it for its auxiliary loss
    with lend(model):
        assert model.config.output_router_logits is False
    assert model.config.output_router_logits is True
