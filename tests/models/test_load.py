from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from sft_probe.errors import ModelError
from sft_probe.models.digest import weights_digest
from sft_probe.models.load import choose_device, fresh_copy, load_base, load_tuned, model_path
from sft_probe.study.spec import ModelSpec
from sft_probe.testing.tiny import tiny_base, tiny_lora, tiny_model, tiny_tokenizer, tiny_tuned
from sft_probe.world import base_path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tiny_model().save_pretrained(tmp_path / "base")
    tiny_tokenizer().save_pretrained(tmp_path / "base")
    return tmp_path / "base"


def spec(path: Path | str, **options: Any) -> ModelSpec:
    return ModelSpec(model_name_or_path=str(path), device="cpu", **options)


def test_a_saved_base_comes_back_frozen_and_equal(folder: Path) -> None:
    loaded = load_base(spec(folder))
    assert loaded.digest == weights_digest(tiny_model())
    assert not loaded.model.training
    assert not any(weight.requires_grad for weight in loaded.model.parameters())


def test_training_a_copy_leaves_the_base_alone(folder: Path) -> None:
    loaded = load_base(spec(folder))
    copy = fresh_copy(loaded)
    assert copy.training
    assert all(weight.requires_grad for weight in copy.parameters())
    with torch.no_grad():
        for weight in copy.parameters():
            weight.zero_()
    assert weights_digest(loaded.model) == loaded.digest


def test_a_half_precision_checkpoint_is_widened_to_the_asked_dtype(tmp_path: Path) -> None:
    half: Any = tiny_model()
    half.half().save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    assert load_base(spec(tmp_path)).model.dtype == torch.float32
    assert load_base(spec(tmp_path, dtype="auto")).model.dtype == torch.float16


def test_a_missing_pad_token_does_not_grow_the_vocabulary(folder: Path) -> None:
    tokenizer = tiny_tokenizer()
    tokenizer.pad_token = None
    tokenizer.save_pretrained(folder)
    loaded = load_base(spec(folder)).tokenizer
    assert loaded.pad_token_id == loaded.eos_token_id
    assert len(loaded) == len(tokenizer)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("/nowhere/model", "no such model folder"),
        ("./nowhere", "no such model folder"),
        ("nobody/no-such-model", "HF_HUB_OFFLINE"),
    ],
)
def test_a_model_that_is_not_there_is_one_sentence(name: str, message: str) -> None:
    with pytest.raises(ModelError, match=message) as caught:
        load_base(spec(name))
    assert "\n" not in str(caught.value)


def test_a_folder_without_a_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="so it is no Hugging Face model"):
        load_base(spec(tmp_path))


def test_pickled_weights_are_refused(folder: Path) -> None:
    state = tiny_model().state_dict()
    (folder / "model.safetensors").unlink()
    torch.save(state, folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match="cannot be loaded"):
        load_base(spec(folder))


def test_a_tokenizer_of_another_model_is_refused(tmp_path: Path) -> None:
    tiny_model(vocab_size=280).save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="embeds 280"):
        load_base(spec(tmp_path))


def test_a_tuned_checkpoint_is_loaded_next_to_its_base(tmp_path: Path) -> None:
    base = tiny_base()
    tuned: Any = tiny_tuned(base)
    tuned.save_pretrained(tmp_path)
    assert weights_digest(load_tuned(tmp_path, base)) == weights_digest(tuned)


def test_an_adapter_folder_is_loaded_onto_a_copy_of_the_base(tmp_path: Path) -> None:
    base = tiny_base()
    adapted: Any = tiny_lora(base)
    adapted.save_pretrained(tmp_path)
    loaded = load_tuned(tmp_path, base)
    ids = torch.arange(3, 20)[None]
    with torch.no_grad():
        assert torch.equal(loaded(ids).logits, adapted.eval()(ids).logits)
    assert weights_digest(base.model) == base.digest


def test_a_checkpoint_of_another_shape_is_refused(tmp_path: Path) -> None:
    tiny_model(layers=3).save_pretrained(tmp_path)
    with pytest.raises(ModelError, match=r"model\.layers\.2"):
        load_tuned(tmp_path, tiny_base())


def test_an_unknown_device_names_those_that_are_there() -> None:
    with pytest.raises(ModelError, match="cpu"):
        choose_device("abacus")


def test_the_planted_base_is_the_one_the_world_ships() -> None:
    assert Path(model_path("planted")) == base_path()
    assert (base_path() / "config.json").is_file()
