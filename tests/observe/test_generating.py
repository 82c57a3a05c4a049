from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from sft_probe.observe.generating import Sampling, draw, generate
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


P = torch.tensor([[0.5, 0.3, 0.2]]).log()


@pytest.mark.parametrize(
    ("drawn", "temperature", "top_p", "token"),
    [
        (0.0, 1.0, 1.0, 0),
        (0.49, 1.0, 1.0, 0),
        (0.51, 1.0, 1.0, 1),
        (0.79, 1.0, 1.0, 1),
        (0.81, 1.0, 1.0, 2),
        (0.64, 0.5, 1.0, 0),  # squares: 25, 9, 4 of 38
        (0.67, 0.5, 1.0, 1),
        (0.88, 0.5, 1.0, 1),
        (0.9, 0.5, 1.0, 2),
        (0.62, 1.0, 0.6, 0),  # 5 and 3 of 8 are kept
        (0.63, 1.0, 0.6, 1),
        (0.999, 1.0, 0.6, 1),
        (0.999, 1.0, 0.5, 0),
    ],
)
def test_draws_by_hand(drawn: float, temperature: float, top_p: float, token: int) -> None:
    assert draw(P + 7, np.array([drawn]), temperature, top_p).tolist() == [token]


@given(
    logits=arrays(np.float32, 5, elements=st.floats(-5, 5, width=32)),
    temperature=st.floats(0.3, 3),
    top_p=st.floats(0.05, 1),
)
def test_evenly_spread_draws_give_the_distribution(
    logits: NDArray[np.float32], temperature: float, top_p: float
) -> None:
    """And a nucleus is the smallest set of most likely tokens that holds top_p."""
    n = 400
    p = np.exp(logits.astype(float) / temperature)
    p /= p.sum()
    found = draw(torch.from_numpy(logits).expand(n, 5), (np.arange(n) + 0.5) / n, temperature, top_p)
    share = np.bincount(found.numpy(), minlength=5) / n
    kept = share > 0
    nucleus, wanted = p[p >= p[kept].min()].sum(), top_p - 1e-9
    assert nucleus + 5 / n >= wanted
    np.testing.assert_allclose(share[kept], p[kept] / p[kept].sum(), atol=0.05 if top_p < 1 else 2 / n)


def test_a_cold_sample_is_the_greedy_answer_and_a_hot_one_is_not() -> None:
    prompts = [[5, 6, 7], [8, 9]]

    def sampled(temperature: float) -> list[list[int]]:
        draws = np.random.default_rng(0).random((2, 8))
        return generate(
            MODELS["llama"],
            prompts,
            max_new_tokens=8,
            stops=(),
            budget=Budget(),
            sampling=Sampling(temperature, 1.0, draws),
        )

    with torch.no_grad():
        greedy = generate(MODELS["llama"], prompts, max_new_tokens=8, stops=(), budget=Budget())
        assert sampled(1e-4) == greedy
        assert sampled(5.0) != greedy


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_where_memory_runs_out_batches_are_halved_and_nothing_else_changes(
    architecture: Architecture,
) -> None:
    model, most = MODELS[architecture], 2
    prompts = [[5, 6, 7], [8, 9], [10, 11, 12, 13], [14], [15, 16]]

    def full(module: torch.nn.Module, args: object, kwargs: dict[str, torch.Tensor]) -> None:
        if len(kwargs["input_ids"]) > most:
            raise torch.OutOfMemoryError("CUDA out of memory.")

    with torch.no_grad():
        expected = generate(model, prompts, max_new_tokens=6, stops=STOPS, budget=Budget())
        handle = model.register_forward_pre_hook(full, with_kwargs=True)
        budget = Budget()
        try:
            found = generate(model, prompts, max_new_tokens=6, stops=STOPS, budget=budget)
        finally:
            handle.remove()
    assert found == expected
    assert budget.tokens < 20
