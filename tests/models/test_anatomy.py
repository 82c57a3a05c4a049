from __future__ import annotations

import pytest
import torch
from torch import nn

from sft_probe.errors import UnknownArchitecture
from sft_probe.models.anatomy import anatomy, context_length, residual, without_adapter
from sft_probe.testing.tiny import ARCHITECTURES, Architecture, tiny_base, tiny_lora, tiny_model

PLACES = {
    "llama": {
        "model.embed_tokens.weight": (0, "embedding"),
        "model.layers.0.self_attn.q_proj.weight": (1, "attention"),
        "model.layers.1.mlp.down_proj.weight": (2, "mlp"),
        "model.layers.1.post_attention_layernorm.weight": (2, "norm"),
        "model.norm.weight": (3, "norm"),
    },
    "gpt2": {
        "transformer.wpe.weight": (0, "embedding"),
        "transformer.h.0.attn.c_attn.bias": (1, "attention"),
        "transformer.h.1.ln_2.weight": (2, "norm"),
        "transformer.ln_f.bias": (3, "norm"),
    },
    "gpt_neox": {
        "gpt_neox.embed_in.weight": (0, "embedding"),
        "gpt_neox.layers.1.attention.query_key_value.weight": (2, "attention"),
        "gpt_neox.layers.0.mlp.dense_h_to_4h.bias": (1, "mlp"),
        "lm_head.weight": (3, "unembedding"),
    },
}


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_parameters_have_their_place(architecture: Architecture) -> None:
    parts = anatomy(tiny_model(architecture, layers=2))
    assert {name: tuple(parts.place(name)) for name in PLACES[architecture]} == PLACES[architecture]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_parameter_of_a_known_family_has_a_layer_and_a_kind(architecture: Architecture) -> None:
    model = tiny_model(architecture, layers=3)
    places = [anatomy(model).place(name) for name, _ in model.named_parameters()]
    assert {place.layer for place in places} == {0, 1, 2, 3, 4}
    assert "other" not in {place.module for place in places}


def test_an_adapter_does_not_hide_the_blocks() -> None:
    adapted = tiny_lora(tiny_base())
    assert len(anatomy(adapted).blocks) == 2
    assert type(without_adapter(adapted)).__name__ == "LlamaForCausalLM"


def test_an_unknown_architecture_is_refused_by_name() -> None:
    class Oddity(nn.Module):
        pass

    with pytest.raises(UnknownArchitecture, match="blocks of a Oddity are") as refused:
        anatomy(Oddity())
    assert "entry point in the group 'sft_probe.architectures'" in str(refused.value)
    assert "FAMILIES in sft_probe/models/anatomy.py" in str(refused.value)


def test_a_block_may_return_a_tensor_or_a_tuple() -> None:
    states = torch.ones(2, 3, 4)
    assert residual(states) is states
    assert residual((states, None)) is states  # type: ignore[arg-type]


def test_context_length_is_read_from_the_config() -> None:
    assert {context_length(tiny_model(a, context=64)) for a in ARCHITECTURES} == {64}
