import numpy as np
import pytest
import torch

from sft_probe.measures.lens import tell
from sft_probe.observe.needs import States, TokenLogprobs, Unembedding
from sft_probe.observe.observer import Observer
from sft_probe.testing.families import FAMILIES, family_base
from sft_probe.testing.tiny import tiny_base, tiny_data, tiny_lora, tiny_tuned

HEAD, LAST, SAID = (
    Unembedding(),
    States(dataset="test", at="answer", limit=4),
    TokenLogprobs(dataset="test", limit=4),
)


@pytest.mark.parametrize("kind", ["llama", "gpt2", "gemma3_text", "opt", "mamba", "granite", "cohere"])
def test_the_last_layer_read_out_is_what_the_model_says(kind: str) -> None:
    base = family_base(next(family for family in FAMILIES if family.model_type == kind))
    seen = Observer(base, tiny_data()).look(tiny_tuned(base, scale=0.02), [HEAD, LAST, SAID])
    states, said, head = seen[LAST], seen[SAID], seen[HEAD]
    assert head.read is not None
    told = tell(states.states, head.read, states.following)
    assert [head.text_of(int(token)) for token in states.following] == list(said.token)
    np.testing.assert_allclose(told.logprob[-1], said.logprob, atol=1e-3)
    np.testing.assert_array_equal(told.rank[-1], said.rank)


def test_fitting_a_translator_leaves_no_gradient_and_draws_nothing() -> None:
    base = tiny_base()
    tuned = tiny_lora(base)
    looked = Observer(base, tiny_data()).look(tuned, [HEAD, LAST])
    before = torch.get_rng_state()
    states = looked[LAST].states
    found = looked[HEAD].fit(states[0], states[-1], 4)
    assert found(states[0]).shape == states[0].shape
    assert all(weight.grad is None for weight in (*tuned.parameters(), *base.model.parameters()))
    assert torch.equal(torch.get_rng_state(), before)
