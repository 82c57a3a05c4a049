from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from sft_probe.data.examples import Dataset, DataSets
from sft_probe.errors import ModelError, SpecError
from sft_probe.models.load import LoadedModel, fresh_copy, load_tuned
from sft_probe.observe.weights import effective
from sft_probe.study.spec import ArmSpec, TrainingSpec
from sft_probe.testing.tiny import tiny_base, tiny_data
from sft_probe.train.adapters import Adalora, Dora, Ia3, Lora, PrefixTuning, Qlora
from sft_probe.train.methods import Method
from sft_probe.train.sft import ArmRun, TrainedArm, run_sft

IDS = torch.arange(5, 15)[None]


def logits(model: nn.Module, ids: Tensor = IDS) -> Tensor:
    with torch.no_grad():
        found: Tensor = model(input_ids=ids).logits
    return found


def trained(method: str, folder: Path, base: LoadedModel, **options: Any) -> TrainedArm:
    sets = tiny_data(16)
    data = DataSets({**sets, "train": Dataset("train", sets["test"].examples)})
    training = TrainingSpec(max_steps=10, per_device_train_batch_size=8, learning_rate=2e-2)
    arm = ArmSpec(method=method, method_options=options)
    return run_sft(ArmRun(arm=arm, training=training, seed=0), base, data, folder)


@pytest.mark.parametrize("method", [Lora(), Dora(), Ia3(), Adalora(target_r=2, init_r=4)])
def test_adapters_begin_as_the_base(method: Method) -> None:
    base = tiny_base()
    model = method.adapt(fresh_copy(base)).eval()
    torch.testing.assert_close(logits(model), logits(base.model), atol=1e-5, rtol=1e-5)
    assert all("layers" in name for name, p in model.named_parameters() if p.requires_grad)


def test_dora_trains_one_length_per_output() -> None:
    model = Dora(r=2).adapt(fresh_copy(tiny_base()))
    lengths = {n: p.numel() for n, p in model.named_parameters() if "magnitude" in n and p.requires_grad}
    assert len(lengths) == 2 * 7
    assert lengths["base_model.model.model.layers.0.mlp.up_proj.lora_magnitude_vector.default.weight"] == 64


def test_ia3_scales_keys_values_and_the_inputs_of_the_last_layer() -> None:
    model: Any = Ia3().adapt(fresh_copy(tiny_base()))
    sizes = [p.numel() for p in model.parameters() if p.requires_grad]
    assert sizes == [16, 16, 64] * 2, "two of four heads of 8, twice; 64 hidden units"
    with pytest.raises(ModelError, match="peft cannot adapt a LlamaForCausalLM"):
        Ia3(target_modules=["c_attn"], feedforward_modules=[]).adapt(fresh_copy(tiny_base()))


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("dora", {"r": 2}),
        ("ia3", {}),
        ("adalora", {"init_r": 4, "target_r": 2}),
        ("prompt_tuning", {"num_virtual_tokens": 3}),
        ("prefix_tuning", {"num_virtual_tokens": 3}),
        ("bias_norm", {}),
    ],
)
def test_training_learns_and_a_saved_model_is_the_trained_one(
    method: str, options: dict[str, Any], tmp_path: Path
) -> None:
    base = tiny_base()
    found = trained(method, tmp_path / "run", base, **options)
    model: Any = found.model.eval()
    assert 0 < found.trainable_parameters < found.total_parameters
    assert not torch.allclose(logits(model)[:, -10:], logits(base.model), atol=1e-3)
    model.save_pretrained(tmp_path / "model")
    again = load_tuned(tmp_path / "model", base)
    torch.testing.assert_close(logits(again), logits(model), atol=1e-5, rtol=1e-5)


def test_adalora_moves_rank_and_what_it_adds_is_known(tmp_path: Path) -> None:
    base = tiny_base()
    model: Any = trained("adalora", tmp_path, base, init_r=4, target_r=2).model
    ranks = {n: int((p != 0).sum()) for n, p in model.named_parameters() if "lora_E" in n}
    assert sum(ranks.values()) == 2 * len(ranks), "the mean rank asked for"
    assert len(set(ranks.values())) > 1, "not the same everywhere"
    name = "model.layers.0.mlp.up_proj.weight"
    layer = model.get_base_model().model.layers[0].mlp.up_proj
    own = effective(model, name)
    assert own.factors is None
    torch.testing.assert_close(own.weight, layer.base_layer.weight + layer.get_delta_weight("default"))


def test_adalora_and_prompts_refuse_what_cannot_be() -> None:
    with pytest.raises(SpecError, match="leave some between them"):
        Adalora(tinit=0.5, tfinal=0.5)
    with pytest.raises(SpecError, match="at least one virtual token"):
        PrefixTuning(num_virtual_tokens=0).adapt(fresh_copy(tiny_base()))


def test_qlora_says_what_it_lacks() -> None:
    with pytest.raises(ModelError, match=r"holds the weights in 4 bits, for which .* here"):
        Qlora().adapt(fresh_copy(tiny_base()))
