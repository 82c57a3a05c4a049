from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from sft_probe.models.unembedding import FINISHES, unembedding
from sft_probe.testing.tiny import tiny_base, tiny_lora, tiny_model

SMALL = {
    "vocab_size": 64,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 64,
    "pad_token_id": 0,
}
OTHERS: dict[str, dict[str, Any]] = {
    "llama": {},
    "gemma2": {"head_dim": 8, "final_logit_softcapping": 30.0},
    "gemma3_text": {"head_dim": 8},
    "cohere": {"logit_scale": 0.0625},
    "granite": {"logits_scaling": 8.0},
    "mamba": {},
}


def small(name: str) -> Any:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return AutoModelForCausalLM.from_config(AutoConfig.for_model(name, **SMALL | OTHERS[name])).eval()


@pytest.mark.parametrize("name", OTHERS)
def test_two_halves_give_the_logits_of_the_whole(name: str) -> None:
    model, ids = small(name), torch.randint(1, 64, (2, 9), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        halves = unembedding(model)
        assert halves is not None
        logits = halves.logits(halves.decoder(input_ids=ids).last_hidden_state)
        assert torch.allclose(logits, model(input_ids=ids).logits, atol=1e-5)
    assert not any(module._forward_hooks for module in model.modules())


@pytest.mark.parametrize(("name", "finish"), [("gemma2", 5), ("cohere", 1), ("granite", 2), ("llama", 0)])
def test_what_a_family_does_to_its_logits_is_found(name: str, finish: int) -> None:
    """Small random weights give logits near zero, where a soft cap would not show by itself."""
    with torch.no_grad():
        halves = unembedding(small(name))
    assert halves is not None
    assert halves.finish is FINISHES[finish]


def test_a_forward_that_does_something_else_is_read_whole() -> None:
    model = tiny_model()
    own = model.forward
    model.forward = lambda **given: _shifted(own(**given))  # type: ignore[method-assign]
    with torch.no_grad():
        assert unembedding(model) is None


def _shifted(output: Any) -> Any:
    output.logits = output.logits * 0.5
    return output


def test_an_adapter_on_the_head_is_part_of_it() -> None:
    from peft import LoraConfig, get_peft_model

    base = tiny_base("gpt_neox")
    adapted: Any = get_peft_model(base.model, LoraConfig(r=2, target_modules=["lm_head"]))
    with torch.no_grad():
        adapted.base_model.model.lm_head.lora_B["default"].weight.normal_()
        halves, ids = unembedding(adapted.eval()), torch.arange(3, 12)[None]
        assert halves is not None
        logits = halves.logits(halves.decoder(input_ids=ids).last_hidden_state)
        assert torch.allclose(logits, adapted(input_ids=ids).logits, atol=1e-5)


def test_prompt_learning_has_no_halves() -> None:
    from peft import PromptTuningConfig, TaskType, get_peft_model

    config = PromptTuningConfig(task_type=TaskType.CAUSAL_LM, num_virtual_tokens=2)
    assert unembedding(get_peft_model(tiny_model(), config)) is None


def test_an_adapter_around_blocks_is_seen() -> None:
    adapted, ids = tiny_lora(tiny_base()).eval(), torch.arange(3, 12)[None]
    with torch.no_grad():
        halves = unembedding(adapted)
        assert halves is not None
        logits = halves.logits(halves.decoder(input_ids=ids).last_hidden_state)
        assert torch.allclose(logits, adapted(input_ids=ids).logits, atol=1e-5)
