from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from sft_probe.errors import SpecError
from sft_probe.models.digest import weights_digest
from sft_probe.models.load import fresh_copy, trainable_copy
from sft_probe.models.sharing import own_weights
from sft_probe.testing.tiny import tiny_base
from sft_probe.train.adapters import Dora, Ia3, Lora, PrefixTuning
from sft_probe.train.methods import Full, Layers
from sft_probe.train.regularisers.averages import Ema, Merge, WiseFt, without_merged

from .conftest import put_together

IDS = torch.arange(5, 15)[None]


def logits(model: nn.Module) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = model.eval()(input_ids=IDS).logits
    return found


def test_ema_by_hand() -> None:
    base = tiny_base()
    model = Layers(first=2).adapt(fresh_copy(base))
    weight = next(p for p in model.parameters() if p.requires_grad)
    frozen = next(p for p in model.parameters() if not p.requires_grad)
    start, untouched = weight.detach().clone(), frozen.detach().clone()
    part = Ema(decay=0.75).begin(put_together(base, model).setting)
    for step in (1, 2):
        with torch.no_grad():
            weight.add_(8)  # 8, then 16 above the start
        part.updated(step)
    part.finish()
    torch.testing.assert_close(weight, start + 0.75 * (0.25 * 8) + 0.25 * 16)
    assert torch.equal(frozen, untouched)


def test_wise_ft_lies_between_base_and_tuned(bench: Any) -> None:
    tuned = [weight.detach().clone() for weight in bench.model.parameters()]
    WiseFt(alpha=0.25).begin(bench.setting).finish()
    for weight, before, after in zip(
        bench.model.parameters(), bench.base.model.parameters(), tuned, strict=True
    ):
        torch.testing.assert_close(weight, 0.75 * before + 0.25 * after)
    assert weights_digest(bench.base.model) == bench.base.digest


def moved(method: Any) -> tuple[Any, nn.Module]:
    """A base, and a model over its weights in memory whose adapters add something."""
    base = tiny_base()
    model = own_weights(method.adapt(trainable_copy(base)), base.model)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.requires_grad and "lora_A" not in name:
                weight.add_(0.3 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(0)))
    return base, model


@pytest.mark.parametrize("method", [Lora(r=2), Lora(r=2, use_rslora=True), Dora(r=2), Ia3()])
def test_a_merged_model_answers_alike_and_the_base_stays(method: Any) -> None:
    base, model = moved(method)
    before = logits(model)
    assert not torch.allclose(before, logits(base.model), atol=1e-2)
    Merge().begin(put_together(base, model).setting).finish()
    torch.testing.assert_close(logits(model), before, atol=1e-4, rtol=1e-4)
    plain = without_merged(model)
    assert not hasattr(plain, "peft_config")
    torch.testing.assert_close(logits(plain), before, atol=1e-4, rtol=1e-4)
    assert weights_digest(base.model) == base.digest


def test_wise_ft_of_adapters_takes_a_share_of_their_product() -> None:
    base, model = moved(Lora(r=2, lora_alpha=4, target_modules=["q_proj"]))
    adapted: Any = model
    layer = adapted.get_base_model().model.layers[1].self_attn.q_proj
    product = 2 * layer.lora_B["default"].weight @ layer.lora_A["default"].weight
    WiseFt(alpha=0.5).begin(put_together(base, model).setting).finish()
    plain: Any = without_merged(model)
    expected = base.model.get_parameter("model.layers.1.self_attn.q_proj.weight") + 0.5 * product
    torch.testing.assert_close(plain.model.layers[1].self_attn.q_proj.weight, expected)
    assert weights_digest(base.model) == base.digest


def test_what_is_no_change_of_weights_is_refused() -> None:
    base = tiny_base()
    setting = put_together(base, PrefixTuning().adapt(fresh_copy(base))).setting
    for regulariser in (WiseFt(), Merge()):
        with pytest.raises(SpecError, match="a learned prompt changes none"):
            regulariser.begin(setting)
    with pytest.raises(SpecError, match="needs a method with adapters"):
        Merge().begin(put_together(base, Full().adapt(fresh_copy(base))).setting)
    for make in (lambda: WiseFt(alpha=1.5), lambda: Ema(decay=1.0)):
        with pytest.raises(SpecError, match="takes a"):
            make()
