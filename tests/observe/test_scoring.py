from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from sft_probe.observe import forward, scoring
from sft_probe.observe.forward import Logits, can_branch
from sft_probe.observe.passages import Budget
from sft_probe.observe.scoring import Question, TokenScores, read_passages, score, token_scores
from sft_probe.observe.trees import packs
from sft_probe.testing.tiny import ARCHITECTURES, Architecture, tiny_model

MODELS = {architecture: tiny_model(architecture) for architecture in ARCHITECTURES}
tokens = st.integers(3, 319)
questions = st.lists(
    st.builds(
        Question,
        st.lists(tokens, min_size=1, max_size=20).map(tuple),
        st.lists(st.lists(tokens, min_size=1, max_size=5).map(tuple), min_size=1, max_size=4).map(tuple),
    ),
    min_size=1,
    max_size=6,
)


def naive(model: nn.Module, question: Question, continuation: tuple[int, ...]) -> TokenScores:
    """One sequence at a time, without cache, padding or chunks."""
    ids = torch.tensor([question.context + continuation])
    with torch.no_grad():
        logprob = model(ids).logits[0].log_softmax(-1)
    start = len(question.context)
    rows = logprob[start - 1 : start - 1 + len(continuation)]
    own = rows.gather(1, torch.tensor(continuation)[:, None]).squeeze(1)
    return TokenScores(own.double().numpy(), (rows.argmax(-1) == torch.tensor(continuation)).numpy())


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@settings(max_examples=15, deadline=None)
@given(questions=questions, budget=st.integers(1, 200))
def test_scores_equal_a_naive_computation_in_any_batches(
    architecture: Architecture, questions: list[Question], budget: int
) -> None:
    model = MODELS[architecture]
    with torch.no_grad():
        found = score(model, questions, Budget(tokens=budget, logits=320 * budget))
    for question, row in zip(questions, found, strict=True):
        for continuation, scores in zip(question.continuations, row, strict=True):
            expected = naive(model, question, continuation)
            np.testing.assert_allclose(scores.logprob, expected.logprob, atol=1e-5, rtol=1e-5)
            np.testing.assert_array_equal(scores.greedy, expected.greedy)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@settings(max_examples=15, deadline=None)
@given(questions=questions, budget=st.integers(1, 200), fanned=st.sampled_from([3, 256]))
def test_packed_choices_score_alike_where_some_do_not_fit(
    architecture: Architecture, questions: list[Question], budget: int, fanned: int
) -> None:
    model = MODELS[architecture]
    with pytest.MonkeyPatch.context() as patch, torch.no_grad():
        patch.setattr(scoring, "FANNED", fanned)
        reader = scoring.ScoreReader(questions, Budget(tokens=budget), branching=True, packing=packs(model))
        read_passages(model, [(reader, reader.passages)], reader.budget)
        found = reader.result(model)
    assert packs(model)
    for question, row in zip(questions, found, strict=True):
        for continuation, scores in zip(question.continuations, row, strict=True):
            expected = naive(model, question, continuation)
            np.testing.assert_allclose(scores.logprob, expected.logprob, atol=1e-5, rtol=1e-5)
            np.testing.assert_array_equal(scores.greedy, expected.greedy)


@settings(max_examples=10, deadline=None)
@given(questions=questions, order=st.randoms(use_true_random=False))
def test_the_order_of_questions_does_not_matter(questions: list[Question], order: object) -> None:
    shuffled = list(range(len(questions)))
    order.shuffle(shuffled)  # type: ignore[attr-defined]
    with torch.no_grad():
        straight = score(MODELS["llama"], questions, Budget())
        mixed = score(MODELS["llama"], [questions[i] for i in shuffled], Budget())
    for at, i in enumerate(shuffled):
        for a, b in zip(straight[i], mixed[at], strict=True):
            np.testing.assert_allclose(a.logprob, b.logprob, atol=1e-5)


def test_a_model_that_cannot_branch_gets_the_same_scores() -> None:
    model = MODELS["llama"]
    question = Question((3, 4, 5), ((6, 7, 8), (9, 10), (6, 7), (11, 12, 13)))
    assert can_branch(model)
    results = []
    for branching in (True, False):
        reader = scoring.ScoreReader([question], Budget(), branching=branching)
        with torch.no_grad():
            read_passages(model, [(reader, [question.trunk])], Budget())
            results.append([scores.logprob for scores in reader.result(model)[0]])
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_choices_behind_one_context_cost_one_reading_of_it() -> None:
    model, read = MODELS["llama"], []
    question = Question(tuple(range(3, 43)), tuple((t, t + 1, t + 2) for t in (50, 60, 70, 80)))
    hook = model.get_input_embeddings().register_forward_hook(
        lambda _, args, __: read.append(args[0].numel())
    )
    try:
        with torch.no_grad():
            score(model, [question], Budget())
    finally:
        hook.remove()
    assert sum(read) == 40 + 2 + 3 * 2


def test_scores_are_taken_in_float32_chunk_by_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    values = torch.randn(7, 50, generator=torch.Generator().manual_seed(0)).to(torch.bfloat16)
    logits = Logits(values, lambda states: states, 50)
    rows, ids = np.array([6, 0, 3, 0]), np.array([3, 1, 2, 49])
    whole = token_scores(logits, rows, ids)
    monkeypatch.setattr(forward, "CHUNK", 100)
    parts = token_scores(logits, rows, ids)
    np.testing.assert_array_equal(whole.logprob, parts.logprob)
    np.testing.assert_array_equal(whole.greedy, parts.greedy)
    expected = values.double().log_softmax(-1)[rows, ids].numpy()
    np.testing.assert_allclose(whole.logprob, expected, atol=1e-5)
