"""Distances between next-token distributions, on log-probabilities.

The law of tolerance: with float32 log-probabilities KL is never below -1e-5 nats and KL(p || p) never
above 1e-5. Log-probabilities rounded to bfloat16 break it (about +-1.5e-3), so logits are cast to
float32 *before* the log-softmax and nothing is ever added inside a logarithm.
"""

from __future__ import annotations

import torch
from torch import Tensor


def log_probs(logits: Tensor) -> Tensor:
    """Log-softmax in float32 over the last axis. (..., vocab) logits of any dtype -> (..., vocab), nats."""
    return torch.log_softmax(logits.float(), dim=-1)


def kl_divergence(log_p: Tensor, log_q: Tensor) -> Tensor:
    """KL(p || q) over the whole vocabulary, in nats per token.

    log_p, log_q: (..., vocab) log-probabilities.  Returns: (...), summed in float64 where the device has it.
    Tokens with p = 0 add nothing; a token with p > 0 and q = 0 makes the result infinite.
    Source: Cover & Thomas 2006, Elements of Information Theory, 2nd ed., section 2.3.
    """
    terms = log_p.exp() * (log_p - log_q)
    return _sum(terms.masked_fill_(log_p.isneginf(), 0.0))


def entropy(log_p: Tensor) -> Tensor:
    """Entropy in nats per token, between 0 and log(vocab). (..., vocab) log-probabilities -> (...)."""
    terms = log_p.exp() * -log_p
    return _sum(terms.masked_fill_(log_p.isneginf(), 0.0))


def rank_of(log_q: Tensor, token: Tensor) -> tuple[Tensor, Tensor]:
    """Rank of a token under q, best rank among equals, and how many other tokens are exactly as likely.

    log_q: (..., vocab).  token: (...) int64.  Returns: rank (...) from 1 to vocab, ties (...) from 0.
    Source: Lin et al. 2023, The Unlocking Spell on Base LLMs (arXiv 2312.01552), the rank eta. Ties are
    left open there; here rank = 1 + #{v: q(v) > q(token)}.
    """
    own = log_q.gather(-1, token.unsqueeze(-1))
    rank = 1 + (log_q > own).sum(-1)
    ties = (log_q == own).sum(-1) - 1
    return rank, ties


def _sum(terms: Tensor) -> Tensor:
    """Sum over the vocabulary in float64; Apple's MPS has no float64 and keeps float32."""
    return terms.sum(-1) if terms.device.type == "mps" else terms.sum(-1, dtype=torch.float64)
