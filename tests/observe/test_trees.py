from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from sft_probe.observe import trees
from sft_probe.observe.passages import Budget
from sft_probe.observe.scoring import Question, score
from sft_probe.observe.trees import packs, score_together
from sft_probe.testing.tiny import ARCHITECTURES, Architecture, tiny_base, tiny_lora, tiny_model

MODELS = {architecture: tiny_model(architecture) for architecture in ARCHITECTURES}
few = st.integers(3, 5)  # so that beginnings are shared
continuation = st.lists(few, min_size=1, max_size=5).map(tuple)
questions = st.lists(
    st.builds(
        Question,
        st.lists(few, min_size=1, max_size=20).map(tuple),
        st.lists(continuation, min_size=1, max_size=4).map(tuple),
    ),
    min_size=1,
    max_size=8,
)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@settings(max_examples=20)
@given(questions=questions, budget=st.integers(1, 200), price=st.integers(0, 30))
def test_trees_show_what_sequences_show(
    architecture: Architecture, questions: list[Question], budget: int, price: int
) -> None:
    model = MODELS[architecture]
    with torch.no_grad(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(trees.families, "__defaults__", (price,))
        assert packs(model)
        found = score_together(model, questions, Budget(tokens=budget))
        expected = score(model, questions, Budget())
    for ours, theirs in zip(found, expected, strict=True):
        for a, b in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(a.logprob, b.logprob, atol=1e-5, rtol=1e-5)
            np.testing.assert_array_equal(a.greedy, b.greedy)


def read_by(model: nn.Module, asked: list[Question]) -> int:
    """Tokens that the model reads for these questions."""
    read: list[int] = []
    hook = model.get_input_embeddings().register_forward_hook(  # type: ignore[operator]
        lambda _, args, __: read.append(args[0].numel())
    )
    try:
        with torch.no_grad():
            score_together(model, asked, Budget())
    finally:
        hook.remove()
    return sum(read)


def test_what_is_shared_is_read_once() -> None:
    model = MODELS["llama"]
    with torch.no_grad():
        assert packs(model)
    shots, n = tuple(range(3, 83)), 20
    asked = [Question((*shots, 90 + i, 4), ((5, 6, 7), (5, 8, 7), (9, 8, 7))) for i in range(n)]
    assert read_by(model, asked) == len(shots) + n * (2 + 5)  # the second and third (5, ...) share a token


def test_many_continuations_are_spread_over_rows() -> None:
    model = MODELS["gpt2"]
    question = Question((3, 4, 5), tuple((a, b) for a in range(6, 36) for b in range(6, 26)))
    with torch.no_grad():
        (found,), (expected,) = (look(model, [question], Budget()) for look in (score_together, score))
    np.testing.assert_allclose(
        np.concatenate([s.logprob for s in found]),
        np.concatenate([s.logprob for s in expected]),
        atol=1e-5,
    )


def test_adapters_and_half_precision_are_read_in_trees_too() -> None:
    with torch.no_grad():
        assert packs(tiny_lora(tiny_base()).eval())
        assert packs(tiny_model("llama", seed=3).to(torch.bfloat16))


def test_a_model_that_reads_a_mask_otherwise_is_left_to_plain_scoring() -> None:
    from transformers import BloomConfig, BloomForCausalLM

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = BloomForCausalLM(BloomConfig(vocab_size=64, hidden_size=16, n_layer=1, n_head=2)).eval()
    question = Question((3, 4, 5), ((6, 7, 8), (9, 10)))
    with torch.no_grad():
        assert not packs(model)
        (found,), (expected,) = (look(model, [question], Budget()) for look in (score_together, score))
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a.logprob, b.logprob)


def test_less_memory_halves_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    model, budget = tiny_model("llama", seed=5), Budget(tokens=512)
    asked = [Question(tuple(range(3, 40 + i)), ((5, 6), (7, 8))) for i in range(12)]
    with torch.no_grad():
        expected = score_together(model, asked, Budget())
        full, refused = model.model.forward, []

        def forward(*args: object, **kwargs: torch.Tensor) -> object:
            if len(kwargs["input_ids"]) > 3:
                refused.append(len(kwargs["input_ids"]))
                raise torch.OutOfMemoryError("out of memory")
            return full(*args, **kwargs)

        monkeypatch.setattr(model.model, "forward", forward)
        found = score_together(model, asked, budget)
    assert refused
    assert budget.tokens < 512
    for ours, theirs in zip(found, expected, strict=True):
        for a, b in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(a.logprob, b.logprob, atol=1e-5)
