from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sft_probe.observe.generating import generate
from sft_probe.observe.passages import Budget
from sft_probe.testing.tiny import ARCHITECTURES, Architecture, tiny_model

MODELS = {architecture: tiny_model(architecture) for architecture in ARCHITECTURES}
STOPS = tuple(range(3, 60))  # many, so that answers end at different times
prompts = st.lists(st.lists(st.integers(3, 319), min_size=1, max_size=12), min_size=1, max_size=6)


def naive(model: torch.nn.Module, prompt: list[int], max_new_tokens: int) -> list[int]:
    """The whole sequence again for every token."""
    ids = list(prompt)
    while len(ids) < len(prompt) + max_new_tokens and (len(ids) == len(prompt) or ids[-1] not in STOPS):
        ids.append(int(model(torch.tensor([ids])).logits[0, -1].argmax()))
    return ids[len(prompt) :]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@settings(max_examples=10, deadline=None)
@given(prompts=prompts, budget=st.sampled_from([1, 30, 1000]))
def test_batched_answers_equal_single_naive_ones(
    architecture: Architecture, prompts: list[list[int]], budget: int
) -> None:
    model = MODELS[architecture]
    with torch.no_grad():
        found = generate(model, prompts, max_new_tokens=6, stops=STOPS, budget=Budget(tokens=budget))
        assert found == [naive(model, prompt, 6) for prompt in prompts]


def test_settings_of_the_model_do_not_leak_in() -> None:
    model = tiny_model()
    with torch.no_grad():
        plain = generate(model, [[5, 6, 7]], max_new_tokens=8, stops=(), budget=Budget())
        config = model.generation_config
        config.do_sample, config.temperature, config.repetition_penalty, config.max_new_tokens = (
            True,
            5.0,
            9.0,
            2,
        )
        before = config.to_dict()
        assert generate(model, [[5, 6, 7]], max_new_tokens=8, stops=(), budget=Budget()) == plain
    assert config.to_dict() == before


def test_a_further_rule_can_end_an_answer() -> None:
    with torch.no_grad():
        found = generate(
            MODELS["llama"],
            [[5, 6], [7, 8, 9]],
            max_new_tokens=9,
            stops=(),
            budget=Budget(),
            done=lambda ids: len(ids) == 4,
        )
    assert [len(ids) for ids in found] == [4, 4]
