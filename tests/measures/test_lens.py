import numpy as np
import pytest
import torch
from scipy.special import log_softmax
from torch import nn

from sft_probe.measures.lens import Translator, decision_depth, fit_translator, tell

RNG = np.random.default_rng(0)
HEAD = RNG.normal(size=(8, 30)).astype(np.float32)
STATES = RNG.normal(size=(4, 50, 8)).astype(np.float32)
FOLLOWING = RNG.integers(0, 30, 50)


def read(states: np.ndarray) -> np.ndarray:
    return states @ HEAD


def test_what_each_layer_says_by_hand() -> None:
    told = tell(STATES, read, FOLLOWING)
    last = log_softmax(STATES[-1].astype(float) @ HEAD, axis=1)
    for layer in range(4):
        said = log_softmax(STATES[layer].astype(float) @ HEAD, axis=1)
        own = said[np.arange(50), FOLLOWING]
        assert told.logprob[layer] == pytest.approx(own, abs=1e-5)
        assert told.rank[layer].tolist() == (1 + (said > own[:, None]).sum(axis=1)).tolist()
        assert told.first[layer].tolist() == said.argmax(axis=1).tolist()
        assert told.kl[layer] == pytest.approx((np.exp(last) * (last - said)).sum(axis=1), abs=1e-5)
    assert told.kl[-1] == pytest.approx(0)
    assert (told.kl > -1e-9).all()


def test_parts_of_a_large_vocabulary_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = tell(STATES, read, FOLLOWING)
    monkeypatch.setattr("sft_probe.measures.lens.AT_ONCE", 70)
    for one, other in zip(whole, tell(STATES, read, FOLLOWING), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-9)


def test_decision_depth_is_where_the_answer_stays() -> None:
    first = np.array([[5, 7, 1, 3], [7, 7, 1, 2], [5, 7, 2, 3], [5, 7, 1, 4]])
    assert decision_depth(first).tolist() == [2, 0, 3, 3]


def fitted(early: np.ndarray, last: np.ndarray, steps: int = 100) -> Translator:
    head = torch.tensor(HEAD)
    parts = fit_translator(torch.tensor(early), torch.tensor(last), lambda h: h @ head, steps)
    return Translator(*(part.double().numpy() for part in parts))


def test_a_translator_undoes_an_affine_map() -> None:
    last = RNG.normal(size=(400, 8)).astype(np.float32)
    early = (last @ (np.eye(8) + 0.3 * RNG.normal(size=(8, 8))) + 1).astype(np.float32)
    both, following = np.stack([early, last]), RNG.integers(0, 30, 400)
    plain = tell(both, read, following).kl[0].mean()
    assert tell(both, read, following, (fitted(early, last),)).kl[0].mean() < 0.05 * plain


def test_the_last_layer_needs_no_translation() -> None:
    last = RNG.normal(size=(100, 8)).astype(np.float32)
    found = fitted(last, last)
    np.testing.assert_allclose(found.matrix, np.eye(8), atol=1e-5)
    np.testing.assert_allclose(found.offset, 0, atol=1e-5)


def test_fitting_leaves_the_unembedding_alone() -> None:
    head, states = nn.Linear(8, 30), torch.tensor(STATES[0])
    before = torch.get_rng_state()
    fit_translator(states, torch.tensor(STATES[-1]), head, 5)
    assert head.weight.grad is None
    assert head.weight.requires_grad
    assert torch.equal(torch.get_rng_state(), before)
