from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from sft_probe.errors import ModelError
from sft_probe.observe import weight_files
from sft_probe.observe.needs import Weights
from sft_probe.observe.observations import Observed, WeightDelta
from sft_probe.observe.weight_files import WeightFiles, weights_on_disk
from sft_probe.observe.weights import weights_seen
from sft_probe.probes.weight_change import WeightChange
from sft_probe.testing.tiny import ARCHITECTURES, Architecture, tiny_base, tiny_lora, tiny_tuned


def by_name(found: Any) -> dict[str, WeightDelta]:
    return {delta.name: delta for delta in found.iterate()}


def assert_same(found: dict[str, WeightDelta], expected: dict[str, WeightDelta]) -> None:
    assert found.keys() == expected.keys()
    for name, delta in expected.items():
        assert (found[name].layer, found[name].module) == (delta.layer, delta.module)
        np.testing.assert_array_equal(found[name].base, delta.base)
        np.testing.assert_allclose(found[name].delta, delta.delta, atol=1e-7)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("shard", ["1GB", "20KB"])
def test_equal_to_the_loaded_models(architecture: Architecture, shard: str, tmp_path: Path) -> None:
    base: Any = tiny_base(architecture)
    tuned: Any = tiny_tuned(base)
    base.model.save_pretrained(tmp_path / "base", max_shard_size=shard)
    tuned.save_pretrained(tmp_path / "tuned", max_shard_size=shard)
    assert len(list((tmp_path / "base").glob("*.safetensors"))) > (shard == "20KB")
    seen = weights_on_disk(tmp_path / "base", tmp_path / "tuned")
    assert_same(by_name(seen), by_name(weights_seen(tuned, base.model)))


@pytest.mark.parametrize("architecture", ["llama", "gpt2"])
@pytest.mark.parametrize("use_rslora", [False, True])
def test_adapters_are_read_as_factors(architecture: Architecture, use_rslora: bool, tmp_path: Path) -> None:
    base: Any = tiny_base(architecture)
    adapted: Any = tiny_lora(base)
    base.model.save_pretrained(tmp_path / "base")
    adapted.save_pretrained(tmp_path / "tuned")
    if use_rslora:
        config = tmp_path / "tuned" / "adapter_config.json"
        config.write_text(json.dumps(json.loads(config.read_text()) | {"use_rslora": True}))
        from peft import PeftModel

        adapted = PeftModel.from_pretrained(tiny_base(architecture).model, str(tmp_path / "tuned"))
    seen = weights_on_disk(tmp_path / "base", tmp_path / "tuned")
    expected = by_name(weights_seen(adapted, base.model))
    assert_same(by_name(seen), expected)
    for name, delta in by_name(seen).items():
        assert (delta.factors is None) == (expected[name].factors is None)
    rows = WeightChange().measure(Observed({Weights(): seen}), Observed({Weights(): seen})).rows
    assert any(row.metric == "stable_rank" and row.value <= 2 for row in rows)


def test_weights_that_are_trained_whole_beside_an_adapter(tmp_path: Path) -> None:
    from peft import LoraConfig, get_peft_model

    base: Any = tiny_base()
    config = LoraConfig(r=2, target_modules=["q_proj"], modules_to_save=["norm"])
    adapted: Any = get_peft_model(tiny_tuned(base, scale=0.0), config)  # type: ignore[arg-type]
    with torch.no_grad():
        for name, weight in adapted.named_parameters():
            if "modules_to_save" in name or "lora_B" in name:
                weight.add_(0.25)
    base.model.save_pretrained(tmp_path / "base")
    adapted.save_pretrained(tmp_path / "tuned")
    found = by_name(weights_on_disk(tmp_path / "base", tmp_path / "tuned"))
    assert_same(found, by_name(weights_seen(adapted, base.model)))
    assert found["model.norm.weight"].delta == pytest.approx(0.25)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_every_float_is_read(dtype: torch.dtype, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weight_files, "PIECE", 7)
    values = torch.randn(5, 6, generator=torch.Generator().manual_seed(0)).to(dtype)
    save_file(
        {"a": torch.zeros(3, dtype=dtype), "w": values, "e": torch.zeros(0)}, tmp_path / "model.safetensors"
    )
    files = WeightFiles(tmp_path)
    np.testing.assert_array_equal(files.whole("w"), values.float().numpy())
    assert files.whole("e").shape == (0,)


def test_what_cannot_be_compared_is_refused(tmp_path: Path) -> None:
    base: Any = tiny_base()
    base.model.save_pretrained(tmp_path / "base")
    with pytest.raises(ModelError, match=r"no model\.safetensors"):
        WeightFiles(tmp_path).whole("w")
    tensors = {name: w.clone() for name, w in base.model.named_parameters()}
    broken = tmp_path / "broken"
    broken.mkdir()
    for change, words in (
        ({"model.norm.weight": None}, r"'model\.norm\.weight' has shape None here"),
        ({"model.norm.weight": torch.zeros(3)}, r"has shape \(3,\) here"),
        ({"more": torch.zeros(1), "most": torch.zeros(1)}, "it holds 'more'"),
    ):
        kept = {name: w for name, w in (tensors | change).items() if w is not None}
        save_file(kept, broken / "model.safetensors")
        with pytest.raises(ModelError, match=words):
            weights_on_disk(tmp_path / "base", broken)
    save_file(
        tensors | {"model.norm.weight": torch.zeros(32, dtype=torch.int8)}, broken / "model.safetensors"
    )
    with pytest.raises(ModelError, match="stored as I8"):
        by_name(weights_on_disk(tmp_path / "base", broken))
    file = broken / "model.safetensors"
    file.write_bytes((tmp_path / "base" / "model.safetensors").read_bytes()[:-10])
    with pytest.raises(ModelError, match="the file ends inside"):
        by_name(weights_on_disk(tmp_path / "base", broken))
    file.write_bytes(b"no safetensors")
    with pytest.raises(ModelError, match="not a readable safetensors file"):
        weights_on_disk(tmp_path / "base", broken)


def test_other_adapters_are_refused(tmp_path: Path) -> None:
    base: Any = tiny_base()
    base.model.save_pretrained(tmp_path / "base")
    tiny_lora(base).save_pretrained(tmp_path / "tuned")  # type: ignore[operator]
    config = tmp_path / "tuned" / "adapter_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"use_dora": True}))
    with pytest.raises(ModelError, match="only plain LoRA"):
        by_name(weights_on_disk(tmp_path / "base", tmp_path / "tuned"))
