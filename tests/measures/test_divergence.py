import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from sft_probe.measures.divergence import entropy, kl_divergence, log_probs, rank_of

TOLERANCE = 1e-5


@st.composite
def logits(draw: st.DrawFn, rows: int = 4) -> Tensor:
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**32 - 1)))
    vocab, scale = draw(st.integers(2, 3000)), draw(st.sampled_from([0.01, 1.0, 10.0, 60.0]))
    return scale * torch.randn(2, rows, vocab, generator=generator)


@given(logits())
def test_kl_is_a_divergence(pair: Tensor) -> None:
    log_p, log_q = log_probs(pair)
    assert kl_divergence(log_p, log_q).min() > -TOLERANCE
    assert kl_divergence(log_p, log_p).abs().max() < TOLERANCE


@given(logits())
def test_entropy_lies_between_zero_and_uniform(pair: Tensor) -> None:
    found = entropy(log_probs(pair))
    assert found.min() > -TOLERANCE
    assert found.max() < math.log(pair.shape[-1]) + TOLERANCE


def test_kl_of_two_coins() -> None:
    p, q = torch.tensor([0.5, 0.5]).log(), torch.tensor([0.9, 0.1]).log()
    expected = 0.5 * math.log(0.5 / 0.9) + 0.5 * math.log(0.5 / 0.1)
    assert kl_divergence(p, q).item() == pytest.approx(expected, abs=1e-7)
    assert kl_divergence(p, q) != kl_divergence(q, p)


def test_kl_agrees_with_torch() -> None:
    log_p, log_q = log_probs(torch.randn(2, 3, 5, 50, generator=torch.Generator().manual_seed(0)))
    reference = torch.nn.functional.kl_div(log_q, log_p, log_target=True, reduction="none").sum(-1)
    torch.testing.assert_close(kl_divergence(log_p, log_q), reference.double(), atol=1e-6, rtol=1e-6)


def test_impossible_tokens() -> None:
    sure, unsure = torch.tensor([1.0, 0.0]).log(), torch.tensor([0.5, 0.5]).log()
    assert kl_divergence(sure, unsure).item() == pytest.approx(math.log(2))
    assert kl_divergence(unsure, sure).item() == math.inf
    assert kl_divergence(sure, sure).item() == 0
    assert entropy(sure).item() == 0


def test_half_precision_logits_are_cast_before_the_softmax() -> None:
    rounded = torch.randn(2, 4, 8000, generator=torch.Generator().manual_seed(0)).bfloat16()
    log_p, log_q = log_probs(rounded)
    assert log_p.dtype == torch.float32
    assert log_p.exp().sum(-1).sub(1).abs().max() < 1e-5
    assert kl_divergence(log_p, log_q).min() > -TOLERANCE


def test_rank_counts_what_is_strictly_better_and_ties_what_is_equal() -> None:
    log_q = torch.tensor([[0.1, 0.4, 0.4, 0.1], [0.7, 0.1, 0.1, 0.1]]).log()
    rank, ties = rank_of(log_q.repeat(2, 1), torch.tensor([3, 0, 2, 1]))
    assert rank.tolist() == [3, 1, 1, 2]
    assert ties.tolist() == [1, 0, 1, 2]
