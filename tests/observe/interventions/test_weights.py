from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from sft_probe.errors import ModelError, SpecError
from sft_probe.models.anatomy import anatomy
from sft_probe.models.load import fresh_copy
from sft_probe.models.sharing import shared_copy
from sft_probe.observe.interventions import Graft, Interpolate, ModelIntervention, Quantise
from sft_probe.observe.interventions.changes import intervene
from sft_probe.observe.interventions.values import PARTS
from sft_probe.observe.interventions.weights import blocks, round_to_nearest, shuffled
from sft_probe.observe.lending import lend
from sft_probe.testing.tiny import ARCHITECTURES, tiny_base, tiny_lora, tiny_tuned

BASES = {architecture: tiny_base(architecture) for architecture in ARCHITECTURES}
IDS = torch.arange(3, 40)[None]


def adapted(architecture: str, **config: Any) -> nn.Module:
    """A base with an adapter of another kind than plain LoRA, every adapter weight moved off its start."""
    import peft

    make = {"dora": {"use_dora": True}, "saved": {"modules_to_save": ["lm_head"]}}
    base: Any = fresh_copy(BASES[architecture])  # type: ignore[index]
    if config.get("kind") == "ia3":
        settings: Any = peft.IA3Config(task_type="CAUSAL_LM")
    else:
        settings = peft.LoraConfig(target_modules="all-linear", **make.get(config["kind"], {}))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        model: Any = peft.get_peft_model(base, settings)
        for weight in model.parameters():
            if weight.requires_grad:
                weight.data += 0.1 * torch.randn_like(weight)
    return model


MODELS: dict[str, tuple[str, Callable[[], nn.Module]]] = {
    **{f"full {a}": (a, lambda a=a: tiny_tuned(BASES[a])) for a in ARCHITECTURES},
    **{f"lora {a}": (a, lambda a=a: tiny_lora(BASES[a])) for a in ARCHITECTURES},
    "dora": ("llama", lambda: adapted("llama", kind="dora")),
    "ia3 with biases": ("gpt_neox", lambda: adapted("gpt_neox", kind="ia3")),
    "untied by the adapter": ("llama", lambda: adapted("llama", kind="saved")),
}
models = pytest.mark.parametrize(("architecture", "make"), MODELS.values(), ids=MODELS)


def logits(model: nn.Module, base: nn.Module, *interventions: ModelIntervention) -> Tensor:
    with lend(model), intervene(model, base, interventions):
        found: Tensor = model(IDS).logits[0]
    return found


@models
def test_the_ends_of_interpolation_are_base_and_model(architecture: Any, make: Any) -> None:
    model, base = make(), BASES[architecture].model
    torch.testing.assert_close(logits(model, base, Interpolate(0.0)), logits(base, base), rtol=0, atol=0)
    torch.testing.assert_close(logits(model, base, Interpolate(1.0)), logits(model, base), atol=2e-4, rtol=0)
    assert (logits(model, base) - logits(base, base)).abs().max() > 0.1


@models
def test_grafting_everything_is_the_donor(architecture: Any, make: Any) -> None:
    model, base = make(), BASES[architecture].model
    there, back = Graft(), Graft(direction="base_to_tuned")
    torch.testing.assert_close(logits(model, base, there), logits(model, base), atol=2e-4, rtol=0)
    torch.testing.assert_close(logits(model, base, back), logits(base, base), rtol=0, atol=0)


def test_the_middle_of_interpolation_is_the_mean_of_the_weights() -> None:
    base = BASES["llama"]
    model: Any = tiny_tuned(base)
    name = "model.layers.0.mlp.up_proj.weight"
    expected = (model.get_parameter(name) + base.model.get_parameter(name)) / 2
    with intervene(model, base.model, [Interpolate(0.5)]):
        torch.testing.assert_close(model.get_parameter(name), expected)


@pytest.mark.parametrize("make", [tiny_tuned, tiny_lora])
@pytest.mark.parametrize("direction", ["tuned_to_base", "base_to_tuned"])
@pytest.mark.parametrize(
    ("layers", "part"),
    [((1, 2), "mlp"), ((2,), "attention"), ((1, 3), "norm"), ((0,), "embedding"), ((3,), "unembedding")],
)
def test_a_graft_moves_the_named_blocks_and_nothing_else(
    make: Any, direction: Any, layers: Any, part: Any
) -> None:
    """Against a model that is put together by hand from two state dicts."""
    base = BASES["gpt_neox"]
    model = make(base)
    merged: Any = model.merge_and_unload() if hasattr(model, "merge_and_unload") else model
    own, other = merged.state_dict(), base.model.state_dict()
    if direction == "base_to_tuned":
        own, other = other, own
    by_hand = fresh_copy(base)
    place = anatomy(base.model).place
    chosen = {(layer, part) for layer in layers}
    by_hand.load_state_dict({n: own[n] if place(n) in chosen else other[n] for n in own})
    assert make is tiny_lora or any(not torch.equal(own[n], other[n]) for n in own if place(n) in chosen)
    graft = Graft(layers=layers, parts=(part,), direction=direction)
    expected = logits(by_hand, base.model)
    torch.testing.assert_close(logits(make(base), base.model, graft), expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("make", [tiny_tuned, tiny_lora])
@pytest.mark.parametrize("direction", ["tuned_to_base", "base_to_tuned"])
def test_blocks_are_pairs_of_layer_and_part(make: Any, direction: Any) -> None:
    base = BASES["llama"]
    model = make(base)
    pairs = Graft(blocks=((1, "mlp"), (2, "mlp")), direction=direction)
    grid = Graft(layers=(1, 2), parts=("mlp",), direction=direction)
    torch.testing.assert_close(
        logits(model, base.model, pairs), logits(model, base.model, grid), rtol=0, atol=0
    )
    one = Graft(blocks=((1, "mlp"), (2, "attention")), direction=direction)
    assert not torch.equal(logits(model, base.model, one), logits(model, base.model, grid))
    with pytest.raises(SpecError, match="either blocks or layers and parts"):
        Graft(layers=(1,), blocks=((1, "mlp"),))
    with pytest.raises(SpecError, match="knows no part 'head'"):
        Graft(blocks=((1, "head"),))  # type: ignore[arg-type]


@models
def test_all_blocks_together_are_the_whole_model(architecture: Any, make: Any) -> None:
    model, base = make(), BASES[architecture].model
    found = blocks(model, base)
    assert any(found.values())
    changed = tuple(block for block, moved in found.items() if moved)
    torch.testing.assert_close(
        logits(model, base, Graft(blocks=changed)), logits(model, base), atol=2e-4, rtol=0
    )
    assert not any(blocks(shared_copy(base), base).values())


@pytest.mark.parametrize("make", [tiny_tuned, tiny_lora])
def test_a_random_graft_is_as_large_as_the_real_one_and_another(make: Any) -> None:
    base, layer = BASES["llama"], (1, 2)
    model = make(base)

    def changes(graft: Graft) -> dict[str, Tensor]:
        own: Any = model.get_base_model() if hasattr(model, "get_base_model") else model
        with intervene(model, base.model, [graft]):
            after = {name.replace(".base_layer", ""): w.clone() for name, w in own.named_parameters()}
        return {n: after[n] - w for n, w in base.model.named_parameters() if not torch.equal(after[n], w)}

    real = changes(Graft(layers=layer, parts=("attention",)))
    random = changes(Graft(layers=layer, parts=("attention",), random=1))
    assert real
    assert real.keys() == random.keys()
    for name, change in real.items():
        torch.testing.assert_close(random[name].norm(), change.norm(), rtol=1e-3, atol=0)
        assert not torch.allclose(random[name], change, atol=1e-3)
    again, other = (changes(Graft(layers=layer, parts=("attention",), random=seed)) for seed in (1, 2))
    assert all(torch.equal(again[name], random[name]) for name in random)
    assert not any(torch.equal(other[name], random[name]) for name in random)


def test_taking_a_random_change_away_leaves_the_rest_of_the_model() -> None:
    base = BASES["llama"]
    model: Any = tiny_tuned(base)
    taken, kept = "model.layers.0.mlp.up_proj.weight", "model.layers.1.mlp.up_proj.weight"
    own = {name: model.get_parameter(name).clone() for name in (taken, kept)}
    change = own[taken] - base.model.get_parameter(taken)
    graft = Graft(blocks=((1, "mlp"),), direction="base_to_tuned", random=3)
    with intervene(model, base.model, [graft]):
        difference = own[taken] - model.get_parameter(taken)
        torch.testing.assert_close(difference.norm(), change.norm(), rtol=1e-3, atol=0)
        assert torch.equal(model.get_parameter(kept), own[kept])


@given(shape=st.lists(st.integers(1, 5), min_size=1, max_size=3), seed=st.integers(0, 99))
def test_shuffling_keeps_sizes_and_singular_values(shape: list[int], seed: int) -> None:
    change = torch.linspace(-1, 2, math.prod(shape)).reshape(shape)
    found = shuffled(change, str(seed))
    assert torch.equal(found.abs().flatten().sort().values, change.abs().flatten().sort().values)
    assert torch.equal(found, shuffled(change, str(seed)))
    if len(shape) == 2:
        values = (torch.linalg.svdvals(matrix) for matrix in (found, change))
        torch.testing.assert_close(*values, atol=1e-5, rtol=1e-4)


def test_a_later_intervention_works_on_what_the_earlier_made() -> None:
    base = BASES["gpt2"]
    model: Any = tiny_tuned(base)
    name = "transformer.h.0.mlp.c_fc.weight"
    a, b = model.get_parameter(name).clone(), base.model.get_parameter(name)
    with intervene(model, base.model, [Interpolate(0.5), Interpolate(0.5)]):
        torch.testing.assert_close(model.get_parameter(name), b + (a - b) / 4)
    with intervene(model, base.model, [Interpolate(0.5), Graft(parts=("attention",))]):
        torch.testing.assert_close(model.get_parameter(name), b)


def test_rounding_by_hand() -> None:
    weight = torch.tensor([[1.0, -0.4, 0.1], [0.0, 0.0, 0.0], [-3.0, 2.0, 1.4]])
    by_row = torch.tensor([[1.0, -1 / 3, 0.0], [0.0, 0.0, 0.0], [-3.0, 2.0, 1.0]])  # 3 bits: steps of a third
    torch.testing.assert_close(round_to_nearest(weight, 3, 1), by_row)
    torch.testing.assert_close(round_to_nearest(weight.T, 3, 0), by_row.T)
    two_bits = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 0.0], [-3.0, 3.0, 0.0]])
    torch.testing.assert_close(round_to_nearest(weight, 2, 1), two_bits)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_all_matrices_of_the_blocks_are_rounded_per_output(architecture: Any) -> None:
    base = BASES[architecture]
    model: Any = tiny_tuned(base)
    place = anatomy(model).place
    before = {name: weight.clone() for name, weight in model.named_parameters()}
    with intervene(model, base.model, [Quantise(3)]):
        for name, weight in model.named_parameters():
            if place(name).layer in {1, 2} and weight.ndim == 2:
                outputs = weight.T if architecture == "gpt2" else weight
                assert all(len(row.unique()) <= 7 for row in outputs), name
            else:
                assert torch.equal(weight, before[name]), name
    assert all(torch.equal(weight, before[name]) for name, weight in model.named_parameters())


def test_more_bits_are_closer() -> None:
    base = BASES["llama"]
    model = tiny_lora(base)
    plain = logits(model, base.model)
    errors = [float((logits(model, base.model, Quantise(bits)) - plain).abs().max()) for bits in (3, 8, 16)]
    assert errors[0] > 10 * errors[1] > 100 * errors[2] > 0


def test_a_layer_that_does_not_exist_is_named() -> None:
    model, base = tiny_tuned(BASES["llama"]), BASES["llama"].model
    with (
        pytest.raises(SpecError, match="names layer 4, but the layers of this model are 0 to 3"),
        intervene(model, base, [Graft(layers=(1, 4))]),
    ):
        pass


def test_a_soft_prompt_cannot_be_grafted() -> None:
    from peft import PromptTuningConfig, get_peft_model

    base: Any = fresh_copy(BASES["llama"])
    model = get_peft_model(base, PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=2))
    with (
        pytest.raises(ModelError, match="soft prompt is no weight"),
        intervene(model, BASES["llama"].model, [Interpolate(0.5)]),
    ):
        pass


def test_every_part_has_a_name_that_the_anatomy_uses() -> None:
    from sft_probe.models.anatomy import KINDS

    assert {kind for kind, _ in KINDS} | {"unembedding", "other"} == set(PARTS)
