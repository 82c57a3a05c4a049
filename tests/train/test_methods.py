from __future__ import annotations

import pytest
import torch

from sft_probe.errors import SpecError, UnknownComponent
from sft_probe.models.load import fresh_copy
from sft_probe.registry import available
from sft_probe.study.spec import ArmSpec
from sft_probe.testing.tiny import tiny_base
from sft_probe.train.methods import Full, Layers, Lora
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
