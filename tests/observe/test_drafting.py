"""What is guessed decides how soon an answer is known, never what it is."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sft_probe.observe.drafting import DraftReader
from sft_probe.observe.forward import can_branch, logits_of
from sft_probe.observe.generating import Rules, Sampling, generate
from sft_probe.observe.needs import Generations, Scores
from sft_probe.observe.observer import Observer
from sft_probe.observe.passages import Budget, Passage
from sft_probe.observe.scoring import read_passages
from sft_probe.testing.tiny import ARCHITECTURES, Architecture, tiny_base, tiny_data, tiny_model

BRANCHING: tuple[Architecture, ...] = tuple(a for a in ARCHITECTURES if can_branch(tiny_model(a)))
MODELS = {architecture: tiny_model(architecture) for architecture in BRANCHING}
STOPS = tuple(range(3, 60))  # many, so that answers end at different times
ROOM = 6
DATA = tiny_data()

tokens = st.integers(3, 319)
prompts = st.lists(st.lists(tokens, min_size=1, max_size=9), min_size=1, max_size=5)
guesses = st.lists(st.tuples(st.integers(0, ROOM), st.lists(tokens, max_size=4)), min_size=5, max_size=5)


def drafted(
    model: torch.nn.Module, passages: Sequence[Passage], rules: Rules, budget: Budget
) -> dict[int, tuple[list[int], torch.Tensor | None]]:
    reader = DraftReader(rules, budget, keep_states=True)
    read_passages(model, [(reader, passages)], budget)
    return dict(sorted(reader.said.items()))  # type: ignore[arg-type]


@pytest.mark.parametrize("architecture", BRANCHING)
@settings(max_examples=15, deadline=None)
@given(
    prompts=prompts,
    guesses=guesses,
    budget=st.sampled_from([1, 30, 1000]),
    sampled=st.booleans(),
    stopping=st.booleans(),
)
def test_answers_do_not_depend_on_guesses(
    architecture: Architecture,
    prompts: list[list[int]],
    guesses: list[tuple[int, list[int]]],
    budget: int,
    sampled: bool,
    stopping: bool,
) -> None:
    """Right beginnings of any length, followed by anything."""
    model = MODELS[architecture]
    draws = np.random.default_rng(0).random((len(prompts), ROOM))
    done = (lambda ids: len(ids) == 4) if stopping else None
    rules = Rules(ROOM, STOPS, done, Sampling(1.0, 0.9, draws) if sampled else None)
    with torch.no_grad():
        expected = generate(model, prompts, budget=Budget(), **rules._asdict())
        passages = [
            Passage((*prompt, *((*answer[:right], *wrong)[:ROOM] or (0,))), len(prompt))
            for prompt, answer, (right, wrong) in zip(prompts, expected, guesses, strict=False)
        ]
        found = drafted(model, passages, rules, Budget(tokens=budget))
        assert [ids for ids, _ in found.values()] == expected
        for prompt, (ids, states) in zip(prompts, found.values(), strict=True):
            assert states is not None
            whole = torch.tensor([[*prompt, *ids[:-1]]])
            logits = model(input_ids=whole).logits[0, len(prompt) - 1 :]
            torch.testing.assert_close(logits_of(model, states).whole, logits, rtol=0, atol=1e-4)


def test_where_memory_runs_out_fewer_answers_are_made_at_once() -> None:
    model, most = MODELS["llama"], 2
    passages = [Passage((5 + i, 6, 7, 8), 2) for i in range(7)]

    def full(module: torch.nn.Module, args: object, kwargs: dict[str, torch.Tensor]) -> None:
        if kwargs["input_ids"].shape[1] == 1 and len(kwargs["input_ids"]) > most:
            raise torch.OutOfMemoryError("CUDA out of memory.")

    with torch.no_grad():
        expected = drafted(model, passages, Rules(ROOM, ()), Budget())
        handle = model.get_decoder().register_forward_pre_hook(full, with_kwargs=True)
        try:
            found = drafted(model, passages, Rules(ROOM, ()), Budget())
        finally:
            handle.remove()
    assert [ids for ids, _ in found.values()] == [ids for ids, _ in expected.values()]


def test_an_answer_that_was_guessed_costs_no_pass_of_its_own() -> None:
    model, asked = MODELS["llama"], [[5, 6, 7], [8, 9]]
    sizes: list[int] = []
    with torch.no_grad():
        answers = generate(model, asked, max_new_tokens=ROOM, stops=STOPS, budget=Budget())
        passages = [Passage((*p, *a), len(p)) for p, a in zip(asked, answers, strict=True)]
        handle = model.get_input_embeddings().register_forward_pre_hook(
            lambda _, args: sizes.append(args[0].numel())
        )
        try:
            found = drafted(model, passages, Rules(ROOM, STOPS), Budget())
        finally:
            handle.remove()
    assert [ids for ids, _ in found.values()] == answers
    assert len(sizes) == 1


def test_answers_come_on_top_of_scores_without_reading_a_prompt_again() -> None:
    base = tiny_base()
    scores, answers = Scores(dataset="test"), Generations(dataset="test", max_new_tokens=48)
    sizes: list[int] = []
    Observer(base, DATA).look_at_base([scores])  # what a model is asked about itself is asked once
    handle = base.model.get_input_embeddings().register_forward_pre_hook(
        lambda _, args: sizes.append(args[0].numel())
    )
    try:
        Observer(base, DATA).look_at_base([scores])
        alone = list(sizes)
        sizes.clear()
        Observer(base, DATA).look_at_base([answers, scores])
    finally:
        handle.remove()
    assert sizes[: len(alone)] == alone
    assert len(sizes) > len(alone)
    assert max(sizes[len(alone) :]) <= len(DATA["test"]), "a token for each answer that goes on"
