"""Trained embeddings that are those of tokens must act as these tokens before every text."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from sft_probe.data.examples import Example
from sft_probe.models.anatomy import context_length
from sft_probe.models.load import fresh_copy
from sft_probe.observe.forward import can_branch
from sft_probe.observe.generating import generate
from sft_probe.observe.needs import States
from sft_probe.observe.passages import Budget, Passage
from sft_probe.observe.scoring import Question, read_passages, score
from sft_probe.observe.states import StatesReader
from sft_probe.observe.trees import packs
from sft_probe.testing.tiny import ARCHITECTURES, Architecture, tiny_base
from sft_probe.train.adapters import PrefixTuning, PromptTuning

FRONT = (7, 9)
QUESTIONS = [Question((3, 4, 5, 6), ((10, 11), (12,))), Question((8, 20), ((21, 22, 23),))]


def prompted(architecture: Architecture = "llama") -> tuple[nn.Module, nn.Module]:
    """A model whose learned prompt is two tokens of its vocabulary, and its base."""
    base = tiny_base(architecture)
    model: Any = PromptTuning(num_virtual_tokens=2).adapt(fresh_copy(base)).eval()
    with torch.no_grad():
        words = base.model.get_input_embeddings()(torch.tensor(FRONT))
        model.prompt_encoder.default.embedding.weight.copy_(words)
    return model, base.model


def behind(question: Question) -> Question:
    return Question(FRONT + question.context, question.continuations)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@torch.no_grad()
def test_scores(architecture: Architecture) -> None:
    model, base = prompted(architecture)
    assert not can_branch(model)
    assert not packs(model)
    found = score(model, QUESTIONS, Budget())
    expected = score(base, [behind(question) for question in QUESTIONS], Budget())
    for ours, theirs in zip(found, expected, strict=True):
        for own, other in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(own.logprob, other.logprob, atol=1e-4)


@torch.no_grad()
def test_answers() -> None:
    model, base = prompted()
    settings: Any = {"max_new_tokens": 6, "stops": {2}, "budget": Budget()}
    prompts = [question.context for question in QUESTIONS]
    assert generate(model, prompts, **settings) == generate(base, [FRONT + p for p in prompts], **settings)


@torch.no_grad()
def test_states_are_those_of_the_text_itself() -> None:
    model, base = prompted()
    need, text = States(dataset="x", at="all", with_first=True), (3, 4, 5, 6)
    states = []
    for seen, ids in ((model, text), (base, FRONT + text)):
        reader = StatesReader([Example(id="a", target="")], need)
        read_passages(seen, [(reader, [Passage(ids, len(ids) - 1)])], Budget())
        states.append(reader.result().states)
    np.testing.assert_allclose(states[0], states[1][:, 2:], atol=1e-4)


@torch.no_grad()
def test_a_prefix_of_keys_and_values_is_read_as_peft_reads_it() -> None:
    model: Any = PrefixTuning(num_virtual_tokens=3, zero=False).adapt(fresh_copy(tiny_base())).eval()
    question = QUESTIONS[0]
    own = score(model, [question], Budget())[0][0]
    ids = torch.tensor([question.context + question.continuations[0]])
    expected = model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[0].log_softmax(-1)
    np.testing.assert_allclose(own.logprob, [expected[3, 10].item(), expected[4, 11].item()], atol=1e-5)
    answer = generate(model, [question.context], max_new_tokens=3, stops=set(), budget=Budget())[0]
    assert answer[0] == int(expected[3].argmax())


def test_a_prompt_takes_its_part_of_the_context() -> None:
    model, base = prompted("gpt2")
    assert context_length(model) == context_length(base) - 2
