from __future__ import annotations

from typing import Any

import pytest

from sft_probe.models.digest import weights_digest
from sft_probe.testing.tiny import ARCHITECTURES, Architecture, tiny_data, tiny_model, tiny_tokenizer


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_same_seed_gives_the_same_model(architecture: Architecture) -> None:
    assert weights_digest(tiny_model(architecture)) == weights_digest(tiny_model(architecture))
    assert weights_digest(tiny_model(architecture)) != weights_digest(tiny_model(architecture, seed=1))


def test_the_template_marks_the_tokens_of_the_assistant() -> None:
    tokenizer = tiny_tokenizer()
    turns = [{"role": "user", "content": "Where is the cat?"}, {"role": "assistant", "content": "sofa"}]
    rendered: Any = tokenizer.apply_chat_template(
        turns, return_dict=True, return_assistant_tokens_mask=True, tokenize=True
    )
    marked = [t for t, on in zip(rendered["input_ids"], rendered["assistant_masks"], strict=True) if on]
    assert tokenizer.decode(marked) == "sofa<|end|>"


def test_the_tokenizer_is_lossless_and_fits_the_models() -> None:
    tokenizer = tiny_tokenizer()
    assert len(tokenizer) <= 320
    for text in ("The cat is on the sofa.", " 高血压\n\t{}"):
        assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


def test_every_target_is_among_its_choices() -> None:
    data = tiny_data(40)
    assert all(example.target in example.choices for example in data["test"])
    assert len({example.id for example in data["test"]}) == 40
