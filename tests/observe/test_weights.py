from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from sft_probe.errors import ModelError
from sft_probe.models.load import fresh_copy
from sft_probe.observe.observations import WeightDelta
from sft_probe.observe.weights import unchanged, weights_seen
from sft_probe.testing.tiny import (
    ARCHITECTURES,
    Architecture,
    tiny_base,
    tiny_lora,
    tiny_model,
    tiny_tuned,
)


def deltas(model: Any, base: Any) -> dict[str, WeightDelta]:
    return {delta.name: delta for delta in weights_seen(model, base).iterate()}


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_full_model_differs_by_what_was_added(architecture: Architecture) -> None:
    base = tiny_base(architecture)
    tuned = tiny_tuned(base)
    found = deltas(tuned, base.model)
    weights = dict(tuned.named_parameters())
    assert found.keys() == dict(base.model.named_parameters()).keys()
    for name, delta in found.items():
        np.testing.assert_allclose(delta.base + delta.delta, weights[name].detach().numpy(), atol=1e-6)


def test_tied_weights_come_once() -> None:
    base = tiny_base("llama")
    assert "lm_head.weight" in base.model.state_dict()
    assert "lm_head.weight" not in deltas(base.model, base.model)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_merged_equals_unmerged(architecture: Architecture) -> None:
    base = tiny_base(architecture)
    adapted: Any = tiny_lora(base)
    unmerged = deltas(adapted, base.model)
    merged = deltas(adapted.merge_and_unload(), base.model)
    changed = {name for name, delta in unmerged.items() if delta.delta.any()}
    assert changed == {name for name, delta in unmerged.items() if delta.factors is not None}
    assert len(changed) >= 4
    for name, delta in unmerged.items():
        np.testing.assert_allclose(delta.delta, merged[name].delta, atol=1e-6)
        if delta.factors is not None:
            left, right = delta.factors
            assert left.shape[1] == right.shape[0] == 2
            np.testing.assert_allclose(left @ right, delta.delta, atol=1e-6)


def test_merging_in_place_counts_the_adapter_once() -> None:
    base = tiny_base()
    adapted: Any = tiny_lora(base)
    before = deltas(adapted, base.model)
    adapted.merge_adapter()
    after = deltas(adapted, base.model)
    for name, delta in before.items():
        np.testing.assert_allclose(delta.delta, after[name].delta, atol=1e-6)


def test_any_other_adapter_is_merged_by_peft_on_a_copy() -> None:
    from peft import LoraConfig, get_peft_model

    base = tiny_base()
    config = LoraConfig(r=2, use_dora=True, target_modules=["q_proj"], modules_to_save=["model.norm"])
    adapted: Any = get_peft_model(fresh_copy(base), config)
    with torch.no_grad():
        for name, weight in adapted.named_parameters():
            if "lora_B" in name or "modules_to_save" in name:
                weight.add_(0.1)
    found = deltas(adapted, base.model)
    changed = {name for name, delta in found.items() if delta.delta.any()}
    assert changed == {
        "model.layers.0.self_attn.q_proj.weight",
        "model.layers.1.self_attn.q_proj.weight",
        "model.norm.weight",
    }
    merged = dict(adapted.merge_and_unload().named_parameters())
    for name in changed:
        np.testing.assert_allclose(
            found[name].base + found[name].delta, merged[name].detach().numpy(), atol=1e-6
        )


def test_unchanged_sees_through_an_untrained_adapter() -> None:
    base = tiny_base()
    assert unchanged(fresh_copy(base), base.model)
    assert unchanged(tiny_lora(base, scale=0.0), base.model)
    assert not unchanged(tiny_lora(base), base.model)
    assert not unchanged(tiny_tuned(base, scale=1e-7), base.model)


def test_a_model_of_another_shape_is_refused() -> None:
    with pytest.raises(ModelError, match=r"model\.layers\.2"):
        deltas(tiny_model(layers=2), tiny_model(layers=3))
