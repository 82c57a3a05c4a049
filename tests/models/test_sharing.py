"""A base and what is trained from it may lie on the same weights, and neither may notice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from sft_probe.errors import ModelError
from sft_probe.models.digest import weights_digest
from sft_probe.models.load import LoadedModel, base_inside, fresh_copy, load_tuned, trainable_copy
from sft_probe.models.sharing import own_weights, shared_copy
from sft_probe.testing.conformance import fingerprint
from sft_probe.testing.families import FAMILIES, TinyFamily, family_base
from sft_probe.testing.tiny import tiny_base, tiny_lora
from sft_probe.train.adapters import Lora
from sft_probe.train.methods import Full

IDS = torch.arange(3, 20)[None]


def addresses(model: nn.Module) -> set[int]:
    return {weight.data_ptr() for weight in model.parameters()}


def trained(model: Any, steps: int = 3) -> Any:
    optimiser = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for _ in range(steps):
            model(input_ids=IDS, labels=IDS).loss.backward()
            optimiser.step()
            optimiser.zero_grad()
    return model


def adapted(method: Any, base: Any, *, shared: bool) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        if shared:
            return own_weights(method.adapt(trainable_copy(base)), base.model)
        model: nn.Module = method.adapt(fresh_copy(base))
        return model


@pytest.mark.parametrize("method", [Full(), Lora(r=2), Lora(r=2, lora_dropout=0.1)], ids=repr)
def test_training_is_the_same_and_leaves_the_base_alone(method: Any) -> None:
    check_training(method, tiny_base("gpt2"))


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.model_type)
def test_so_it_is_in_every_family(family: TinyFamily) -> None:
    base = family_base(family)
    for method in (Full(), Lora(r=2)):
        check_training(method, base)


def check_training(method: Any, base: LoadedModel) -> None:
    buffers = {name: buffer.clone() for name, buffer in base.model.named_buffers()}
    apart, together = (trained(adapted(method, base, shared=shared)) for shared in (False, True))
    assert weights_digest(together) == weights_digest(apart)
    assert weights_digest(base.model) == base.digest
    assert all(torch.equal(buffer, buffers.pop(name)) for name, buffer in base.model.named_buffers())
    assert not buffers


@pytest.mark.parametrize("bias", ["none", "all"])
def test_only_what_is_trained_takes_memory(bias: Any) -> None:
    base = tiny_base("gpt2")
    model = adapted(Lora(r=2, bias=bias), base, shared=True)
    for name, weight in model.named_parameters():
        assert (weight.data_ptr() in addresses(base.model)) != weight.requires_grad, name
    trained(model)
    assert weights_digest(base.model) == base.digest


def test_a_loaded_adapter_lies_on_the_base_but_writes_its_biases_elsewhere(tmp_path: Path) -> None:
    base = tiny_base("gpt2")
    for bias in ("none", "all"):
        model: Any = trained(adapted(Lora(r=2, bias=bias), base, shared=False))
        model.save_pretrained(tmp_path / bias)
        loaded = load_tuned(tmp_path / bias, base)
        with torch.no_grad():
            assert torch.equal(loaded(IDS).logits, model.eval()(IDS).logits)
        own = {n for n, p in loaded.named_parameters() if p.data_ptr() not in addresses(base.model)}
        assert own == {
            n for n, _ in loaded.named_parameters() if "lora_" in n or (bias == "all" and n.endswith(".bias"))
        }
        assert weights_digest(base.model) == base.digest


def test_the_base_inside_an_adapter_is_the_base() -> None:
    base = tiny_base()
    model = tiny_lora(base).train()
    before = fingerprint(model)
    inside = base_inside(model, base.tokenizer, path="tiny", digest=base.digest)
    assert fingerprint(model) == before
    assert inside.digest == base.digest
    assert addresses(inside.model) <= addresses(model)
    assert {name for name, _ in inside.model.named_parameters()} == {
        name for name, _ in base.model.named_parameters()
    }
    with torch.no_grad():
        assert torch.equal(inside.model(IDS).logits, base.model(IDS).logits)
    trained(model)
    assert weights_digest(inside.model) == base.digest


def test_a_saved_module_is_no_part_of_the_base_inside() -> None:
    from peft import LoraConfig, get_peft_model

    base = tiny_base("gpt_neox")
    plain: Any = fresh_copy(base)
    model = trained(
        get_peft_model(plain, LoraConfig(target_modules="all-linear", modules_to_save=["embed_out"]))
    )
    assert base_inside(model, base.tokenizer, path="tiny").digest == base.digest


def test_weights_that_are_no_longer_the_bases_are_refused() -> None:
    from peft import LoraConfig, get_peft_model

    base = tiny_base("gpt2")

    def refused(model: Any, says: str, digest: str = "") -> None:
        with pytest.raises(ModelError, match=says):
            base_inside(model, base.tokenizer, path="tiny", digest=digest)

    refused(fresh_copy(base), "no adapters")
    merged: Any = tiny_lora(base)
    merged.merge_adapter()
    refused(merged, "merged into the weights")
    plain: Any = fresh_copy(base)
    refused(get_peft_model(plain, LoraConfig(bias="all")), "bias='all'")
    moved = tiny_lora(base)
    next(moved.parameters()).data.add_(1e-3)
    refused(moved, "not those of the base", base.digest)


def test_a_shared_copy_has_modules_of_its_own() -> None:
    base = tiny_base()
    twin = shared_copy(base.model)
    twin.train().register_forward_hook(lambda *_: None)
    twin.requires_grad_(True)
    assert not base.model.training
    assert not base.model._forward_hooks
    assert not any(weight.requires_grad for weight in base.model.parameters())
    assert addresses(twin) == addresses(base.model)
