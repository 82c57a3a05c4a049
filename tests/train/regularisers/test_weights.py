from __future__ import annotations

from typing import Any

import pytest
import torch

from sft_probe.errors import SpecError
from sft_probe.models.load import fresh_copy
from sft_probe.testing.tiny import tiny_base
from sft_probe.train.adapters import Dora, Lora, PromptTuning
from sft_probe.train.methods import Layers
from sft_probe.train.regularisers.weights import Ewc, L2Sp, fisher

from .conftest import ROWS, put_together


def pairs(bench: Any) -> list[tuple[Any, Any]]:
    return list(zip(bench.model.parameters(), bench.base.model.parameters(), strict=True))


def test_l2_sp_is_the_squared_distance(bench: Any) -> None:
    distance = sum(float((tuned - base).square().sum()) for tuned, base in pairs(bench))
    assert float(bench.added(L2Sp(weight=0.1), loss=2.0)) == pytest.approx(2 + 0.1 * distance, rel=1e-5)
    relative = sum(float((t - b).square().sum() / b.square().sum()) for t, b in pairs(bench))
    assert float(bench.added(L2Sp(weight=1.0, relative=True))) == pytest.approx(relative, rel=1e-5)


def test_l2_sp_pulls_towards_the_base(bench: Any) -> None:
    weight, base = pairs(bench)[3]
    (slope,) = torch.autograd.grad(bench.added(L2Sp(weight=0.5)), weight)
    torch.testing.assert_close(slope, 2 * 0.5 * (weight - base).detach())


def test_only_what_is_trained_counts_and_a_pass_of_two_counts_half() -> None:
    base = tiny_base()
    model = Layers(first=2).adapt(fresh_copy(base))
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.5)
    trained = sum(weight.numel() for weight in model.parameters() if weight.requires_grad)
    found = put_together(base, model, share=0.5).added(L2Sp(weight=1.0))
    assert float(found) == pytest.approx(0.5 * 0.25 * trained, rel=1e-4)


def test_lora_counts_by_its_product() -> None:
    base = tiny_base()
    model: Any = Lora(r=2, lora_alpha=6, target_modules=["up_proj"]).adapt(fresh_copy(base))
    total = 0.0
    for block in model.get_base_model().model.layers:
        layer = block.mlp.up_proj
        torch.nn.init.normal_(layer.lora_B["default"].weight)
        product = 3 * layer.lora_B["default"].weight @ layer.lora_A["default"].weight
        total += float(product.square().sum())
    assert float(put_together(base, model).added(L2Sp(weight=1.0))) == pytest.approx(total, rel=1e-4)


@pytest.mark.parametrize(
    ("method", "says"),
    [(Dora(r=2), "cannot be held by its distance"), (PromptTuning(), "trains no weight of the base")],
)
def test_other_adapters_are_refused_before_training(method: Any, says: str) -> None:
    base = tiny_base()
    with pytest.raises(SpecError, match=says):
        L2Sp().begin(put_together(base, method.adapt(fresh_copy(base))).setting)


def test_the_fisher_information_is_the_mean_squared_gradient_of_each_row(bench: Any) -> None:
    name, copy = "model.layers.0.mlp.up_proj.weight", fresh_copy(bench.base).eval()
    squares = []
    for ids in ([1, 20, 21, 22], [1, 30, 31]):
        copy.zero_grad()
        logprob = copy(input_ids=torch.tensor([ids])).logits[0, :-1].log_softmax(-1)
        logprob[torch.arange(len(ids) - 1), torch.tensor(ids[1:])].sum().backward()
        squares.append(copy.get_parameter(name).grad.square())
    found = fisher(bench.base, ROWS["generic"], [name], seed=None)
    assert set(found) == {name}
    torch.testing.assert_close(found[name], sum(squares) / 2, rtol=1e-4, atol=1e-6)
    assert not any(weight.requires_grad for weight in bench.base.model.parameters()), "the base stays frozen"


def test_sampled_labels_are_drawn_by_the_seed(bench: Any) -> None:
    name = "model.norm.weight"
    one, same, other = (fisher(bench.base, ROWS["generic"], [name], seed=s)[name] for s in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_ewc_weighs_each_weight_by_its_information(bench: Any) -> None:
    names = [name for name, _ in bench.base.model.named_parameters()]
    importance = fisher(bench.base, ROWS["generic"], names, seed=None)
    total = sum(
        float((importance[name] * (tuned - base).square()).sum())
        for name, (tuned, base) in zip(names, pairs(bench), strict=True)
    )
    found = bench.added(Ewc(weight=3.0, labels="data"))
    assert float(found) == pytest.approx(1.5 * total, rel=1e-4)
    with pytest.raises(SpecError, match="no rows"):
        bench.added(Ewc(dataset="nothing"))
