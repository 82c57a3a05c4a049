from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from sft_probe.data.chat import render
from sft_probe.observe.interventions import FewShot, Prefill, Template
from sft_probe.observe.needs import Generations, Scores, TokenDivergence, TokenLogprobs
from sft_probe.observe.observer import Observer
from sft_probe.observe.tokens import text_of
from sft_probe.testing.tiny import tiny_base, tiny_data, tiny_tuned
from sft_probe.world import base_path

BASE, DATA = tiny_base(), tiny_data()
TUNED = tiny_tuned(BASE)


def test_every_column_equals_brute_force() -> None:
    need = TokenLogprobs(dataset="test", limit=4)
    seen = Observer(BASE, DATA, token_budget=60).look(TUNED, [need])[need]
    TUNED.eval()
    for i, example in enumerate(DATA["test"].examples[:4]):
        rendered = render(example, BASE.tokenizer)
        ids, start = rendered.prompt_ids + rendered.target_ids, len(rendered.prompt_ids)
        with torch.no_grad():
            p = TUNED(torch.tensor([ids])).logits[0].double().log_softmax(-1)[start - 1 : -1]
        own = seen.example == i
        assert seen.position[own].tolist() == list(range(len(rendered.target_ids)))
        assert [seen.token[t] for t in np.flatnonzero(own)] == [
            BASE.tokenizer.decode([token]) for token in rendered.target_ids
        ]
        forced = p[range(len(p)), rendered.target_ids]
        np.testing.assert_allclose(seen.logprob[own], forced, atol=1e-5)
        np.testing.assert_allclose(seen.entropy[own], -(p.exp() * p).sum(-1), atol=1e-5)
        assert seen.rank[own].tolist() == (1 + (p > forced[:, None]).sum(-1)).tolist()
    TUNED.train()


def test_tokens_add_up_to_scores_under_every_wording() -> None:
    for under in ((), (FewShot(2, "test"),), (Prefill("in"), Template(on=False))):
        tokens, scores = TokenLogprobs(dataset="test", under=under), Scores(dataset="test", under=under)
        seen = Observer(BASE, DATA).look(TUNED, [tokens, scores])
        total = np.zeros(len(DATA["test"]))
        np.add.at(total, seen[tokens].example, seen[tokens].logprob)
        np.testing.assert_allclose(total, seen[scores].target_logprob, atol=1e-5)
        greedy = np.ones(len(total), dtype=bool)
        np.logical_and.at(greedy, seen[tokens].example, seen[tokens].rank == 1)
        assert greedy.tolist() == seen[scores].target_greedy.tolist()


@pytest.mark.parametrize("contexts", ["gold", "tuned", "base"])
def test_whoever_answers_the_same_tokens_are_compared_with_the_base(contexts: Any) -> None:
    alone = TokenLogprobs(dataset="test", contexts=contexts, max_new_tokens=5)
    beside = TokenDivergence(dataset="test", contexts=contexts, max_new_tokens=5)
    answers = Generations(dataset="test", max_new_tokens=5)
    seen = Observer(BASE, DATA).look(TUNED, [alone, beside, answers])
    tokens, compared = seen[alone], seen[beside]
    assert (tokens.contexts, compared.contexts) == (contexts, contexts)
    assert tokens.token == compared.token
    np.testing.assert_array_equal(tokens.example, compared.example)
    np.testing.assert_array_equal(tokens.position, compared.position)
    np.testing.assert_array_equal(tokens.logprob, compared.logprob_tuned)
    np.testing.assert_array_equal(tokens.entropy, compared.entropy_tuned)
    assert (tokens.rank.max() == 1) == (contexts == "tuned"), "greedy answers are the first choice throughout"
    if contexts == "tuned":
        assert np.bincount(tokens.example).tolist() == seen[answers].n_tokens.tolist()


def test_rows_that_were_cut_are_counted() -> None:
    under = (FewShot(9, "test"),)
    tokens, scores = TokenLogprobs(dataset="test", under=under), Scores(dataset="test", under=under)
    seen = Observer(BASE, DATA).look(TUNED, [tokens, scores])
    assert seen[tokens].n_truncated == seen[scores].n_truncated == len(DATA["test"])


def test_a_token_reads_as_it_does_inside_a_text() -> None:
    """The planted base's tokenizer drops the space of a token that it decodes by itself."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(base_path())
    ids = tokenizer("The patient is 63 years old.", add_special_tokens=False)["input_ids"]
    assert "".join(text_of(tokenizer, token) for token in ids) == " The patient is 63 years old."
    assert text_of(tokenizer, tokenizer.eos_token_id) == tokenizer.eos_token
