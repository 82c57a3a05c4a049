from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from sft_probe.data.chat import render
from sft_probe.data.examples import Dataset, DataSets, Message
from sft_probe.errors import DataError
from sft_probe.models.load import fresh_copy
from sft_probe.observe.needs import Generations, Need, Scores, States, TokenDivergence, Weights
from sft_probe.observe.observer import Observer
from sft_probe.testing.conformance import fingerprint
from sft_probe.testing.tiny import tiny_base, tiny_data, tiny_lora, tiny_tuned

BASE, DATA = tiny_base(), tiny_data()
TUNED = tiny_tuned(BASE)
NEEDS: tuple[Need, ...] = (
    Scores(dataset="test"),
    Scores(dataset="text", limit=4),
    Generations(dataset="test", max_new_tokens=6),
    TokenDivergence(dataset="test", limit=5),
    TokenDivergence(dataset="test", contexts="tuned", max_new_tokens=6, limit=3),
    States(dataset="test", limit=7),
    Weights(),
)


def test_scores_equal_a_naive_computation_per_choice() -> None:
    need = Scores(dataset="test")
    seen = Observer(BASE, DATA).look(TUNED, [need])[need]
    model = TUNED.eval()

    def logprob(prompt: list[int], answer: list[int]) -> float:
        with torch.no_grad():
            rows = model(torch.tensor([prompt + answer])).logits[0].log_softmax(-1)
        return sum(float(rows[len(prompt) - 1 + i, token]) for i, token in enumerate(answer))

    for i, example in enumerate(DATA["test"]):
        target = render(example, BASE.tokenizer)
        assert seen.target_tokens[i] == len(target.target_ids)
        assert seen.target_logprob[i] == pytest.approx(
            logprob(target.prompt_ids, target.target_ids), abs=1e-4
        )
        for j, choice in enumerate(example.choices):
            ids = render(replace(example, target=choice), BASE.tokenizer).target_ids[:-1]
            assert seen.choice_tokens[i][j] == len(ids)
            assert seen.choice_logprob[i][j] == pytest.approx(logprob(target.prompt_ids, ids), abs=1e-4)
    TUNED.train()


@pytest.mark.parametrize("budget", [1, 50, 10_000])
def test_fusing_and_batching_change_nothing(budget: int) -> None:
    together = Observer(BASE, DATA, token_budget=budget).look(TUNED, NEEDS)
    for need in NEEDS:
        if isinstance(need, Weights):
            continue
        alone = Observer(BASE, DATA).look(TUNED, [need])[need]
        for name in alone.__slots__:
            a, b = getattr(alone, name), getattr(together[need], name)
            if isinstance(a, np.ndarray):
                np.testing.assert_allclose(a, b, atol=1e-4)
            elif name == "choice_logprob":
                np.testing.assert_allclose(np.concatenate(a), np.concatenate(b), atol=1e-4)
            elif name != "choice_tokens":
                assert a == b


@pytest.mark.parametrize("make", [lambda: tiny_tuned(BASE), lambda: tiny_lora(BASE)])
def test_looking_leaves_model_and_base_as_they_were(make: Any) -> None:
    model = make()
    before, state = (fingerprint(model), fingerprint(BASE.model)), torch.get_rng_state()
    Observer(BASE, DATA).look(model, NEEDS)
    assert (fingerprint(model), fingerprint(BASE.model)) == before
    assert torch.equal(torch.get_rng_state(), state)


def test_an_untrained_model_is_the_base_and_is_not_looked_at_again() -> None:
    observer, need = Observer(BASE, DATA), Scores(dataset="test")
    base = observer.look_at_base([need])[need]
    assert observer.look(fresh_copy(BASE), [need])[need] is base
    assert observer.look(tiny_lora(BASE, scale=0.0), [need])[need] is base
    assert observer.look(TUNED, [need])[need] is not base


def test_an_adapter_switched_off_shows_the_base() -> None:
    need = Scores(dataset="test")
    adapted: Any = tiny_lora(BASE)
    observer = Observer(BASE, DATA)
    on = observer.look(adapted, [need])[need].target_logprob
    with adapted.disable_adapter():
        off = observer.look(adapted, [need])[need].target_logprob
    base = observer.look_at_base([need])[need].target_logprob
    np.testing.assert_allclose(off, base, atol=1e-5)
    assert abs(on - base).max() > 1e-3


def test_answers_are_text_without_special_tokens_and_count_the_stop_token() -> None:
    need = Generations(dataset="test", max_new_tokens=6)
    seen = Observer(BASE, DATA).look(TUNED, [need])[need]
    assert len(seen.texts) == len(DATA["test"]) == len(seen.n_tokens)
    assert seen.n_tokens.max() <= 6
    assert all(seen.stopped[seen.n_tokens < 6])
    assert not any("<|" in text for text in seen.texts)


def test_prompts_beyond_the_context_are_cut_on_the_left_and_counted() -> None:
    example = DATA["test"].examples[0]
    long = replace(example, id="long", messages=(Message("user", "Where is the cat? " * 60),))
    data = DataSets({"test": Dataset("test", (example, long))})
    seen = Observer(BASE, data).look(TUNED, NEEDS[:1] + NEEDS[2:3])
    assert seen[Scores(dataset="test")].n_truncated == 1
    assert seen[Generations(dataset="test", max_new_tokens=6)].n_truncated == 1
    assert np.isfinite(seen[Scores(dataset="test")].target_logprob).all()


def test_an_unknown_data_set_is_named() -> None:
    with pytest.raises(DataError, match="Did you mean 'test'"):
        Observer(BASE, DATA).look_at_base([Scores(dataset="tests")])


def test_an_empty_data_set_is_named() -> None:
    with pytest.raises(DataError, match="'none' has no rows"):
        Observer(BASE, DataSets({"none": Dataset("none", ())})).look_at_base([Scores(dataset="none")])


def test_the_same_text_is_read_once_for_all_data_sets_and_needs() -> None:
    """`text` and `generic` hold the same rows; scores, states and divergences look at all of them."""
    names = ("text", "generic")
    needs: list[Need] = [Scores(dataset=name) for name in names]
    needs += [States(dataset=name, limit=5) for name in names]
    needs += [TokenDivergence(dataset=name, limit=7) for name in names]
    tuned, read = tiny_tuned(BASE), []
    hook = tuned.get_input_embeddings().register_forward_hook(  # type: ignore[operator]
        lambda _, args, __: read.append(args[0])
    )
    Observer(BASE, DATA).look(tuned, needs[:1])  # also reads three tokens twice, once per model
    distinct = {tuple(render(e, BASE.tokenizer).target_ids) for e in DATA["text"]}
    alone = sum(ids.numel() for ids in read)
    read.clear()
    seen = Observer(BASE, DATA, token_budget=60).look(tuned, needs)
    hook.remove()
    rows = [tuple(row.tolist()) for ids in read for row in ids]
    assert len(rows) == len(distinct) == len(DATA["text"])
    assert sum(ids.numel() for ids in read) <= alone
    np.testing.assert_array_equal(seen[needs[0]].target_logprob, seen[needs[1]].target_logprob)
    np.testing.assert_array_equal(seen[needs[2]].states, seen[needs[3]].states)
    assert len(seen[needs[4]].kl_tuned_base) == len(seen[needs[5]].kl_tuned_base) > 0


def test_a_look_at_weights_or_at_nothing_reads_no_text() -> None:
    tuned, passes = tiny_tuned(BASE), []
    hook = tuned.register_forward_pre_hook(lambda *_: passes.append(1))
    observer = Observer(BASE, DATA)
    observer.look(tuned, ())
    assert any(True for _ in observer.look(tuned, [Weights()])[Weights()].iterate())
    assert not passes
    observer.look(tuned, [Scores(dataset="test", limit=1)])
    hook.remove()
    assert passes
