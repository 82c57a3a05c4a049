from __future__ import annotations

import pytest
import torch

from sft_probe.errors import SpecError, UnknownComponent
from sft_probe.models.load import fresh_copy
from sft_probe.registry import available
from sft_probe.study.spec import ArmSpec
from sft_probe.testing.tiny import Architecture, tiny_base
from sft_probe.train.adapters import Lora
from sft_probe.train.methods import AttentionOnly, BiasNorm, Full, Head, Layers, Method, MlpOnly, Pattern
from sft_probe.train.sft import make_method


def test_every_registered_method_bears_its_name() -> None:
    for name, entry in available("methods").items():
        assert entry.load().name == name


def test_full_trains_everything() -> None:
    model = Full().adapt(fresh_copy(tiny_base()))
    assert all(p.requires_grad for p in model.parameters())


def test_layers_trains_the_named_blocks_only() -> None:
    model = Layers(first=2).adapt(fresh_copy(tiny_base()))
    trained = {name.split(".")[2] for name, p in model.named_parameters() if p.requires_grad}
    assert trained == {"1"}, "block 2 of 2"
    assert sum(not p.requires_grad for p in model.parameters()) > 5
    for wrong in (Layers(first=0), Layers(first=3), Layers(first=2, last=1), Layers(last=9)):
        with pytest.raises(SpecError, match="trains blocks"):
            wrong.adapt(fresh_copy(tiny_base()))


def trained_by(method: Method, architecture: Architecture = "llama") -> set[str]:
    model = method.adapt(fresh_copy(tiny_base(architecture)))
    return {name for name, weight in model.named_parameters() if weight.requires_grad}


def test_head_trains_the_unembedding() -> None:
    assert trained_by(Head(), "gpt_neox") == {"lm_head.weight"}
    assert trained_by(Head(), "llama") == {"model.embed_tokens.weight"}, "tied: one matrix"


def test_biases_and_norms() -> None:
    llama = trained_by(BiasNorm())
    assert len(llama) == 5, "two norms in each of two blocks, and the last one"
    assert all("norm" in name for name in llama)
    gpt2 = trained_by(BiasNorm(), "gpt2")
    assert {"transformer.h.0.attn.c_attn.bias", "transformer.ln_f.weight"} <= gpt2
    assert not any(name.endswith("c_fc.weight") for name in gpt2)


def test_one_kind_of_module() -> None:
    attention, mlp = trained_by(AttentionOnly()), trained_by(MlpOnly())
    assert {name.split(".")[3] for name in attention} == {"self_attn"}
    assert {name.split(".")[3] for name in mlp} == {"mlp"}
    assert len(attention) == 2 * 4
    assert len(mlp) == 2 * 3


def test_patterns_train_and_freeze() -> None:
    assert trained_by(Pattern(train=[r"layers\.1\."], freeze=["mlp", "norm"])) == {
        f"model.layers.1.self_attn.{part}_proj.weight" for part in "qkvo"
    }
    with pytest.raises(SpecError, match="no weight has 'q_porj' in its name"):
        trained_by(Pattern(train=["q_porj"]))
    with pytest.raises(SpecError, match="is no regular expression"):
        Pattern(freeze=["("])
    with pytest.raises(SpecError, match="no such weights"):
        trained_by(Pattern(freeze=["weight"]))


def test_lora_trains_adapters_only_and_starts_as_the_base() -> None:
    base = tiny_base()
    model = Lora(r=2).adapt(fresh_copy(base)).eval()
    assert {name for name, p in model.named_parameters() if p.requires_grad} == {
        name for name, _ in model.named_parameters() if "lora_" in name
    }
    ids = torch.arange(5, 15)[None]
    with torch.no_grad():
        assert torch.equal(model(input_ids=ids).logits, base.model(input_ids=ids).logits)


def test_unknown_method_and_option_are_named_with_the_nearest() -> None:
    with pytest.raises(UnknownComponent, match="Did you mean 'lora'"):
        make_method(ArmSpec(method="loar"))
    with pytest.raises(SpecError, match="Did you mean 'lora_alpha'"):
        make_method(ArmSpec(method="lora", method_options={"alpha": 16}))
    with pytest.raises(SpecError, match="has no options"):
        make_method(ArmSpec(method="full", method_options={"r": 8}))
