"""Next-token distributions of a model and its base on the same tokens, compared in full."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from sft_probe.data.examples import Example
from sft_probe.measures.divergence import entropy, kl_divergence, log_probs, rank_of
from sft_probe.observe.forward import Logits, logits_of, read_all
from sft_probe.observe.needs import Contexts
from sft_probe.observe.observations import TokenDivergenceSeen
from sft_probe.observe.passages import Batch, Budget, Passage
from sft_probe.observe.tokens import TokenTable, predicted


@dataclass
class BaseLogits:
    """Predictions of the base on passages that come back at every look.

    What leaves the last layer is kept, up to `room` numbers; the logits are made of it again. They would
    take vocabulary / hidden size as much memory, and less than all of them does not give a divergence.
    """

    model: nn.Module
    budget: Budget
    room: int = 2**26
    _kept: dict[Passage, Tensor] = field(init=False, default_factory=dict)

    def of(self, batch: Batch) -> Logits:
        """The base's logits of the predicted tokens of a batch."""
        found: dict[Passage, Tensor] = {p: self._kept[p] for p in batch.passages if p in self._kept}
        missing = [passage for passage in dict.fromkeys(batch.passages) if passage not in found]
        for part, logits, _ in read_all(self.model, missing, self.budget):
            own = torch.split(logits.states, list(part.counts))
            for passage, states in zip(part.passages, own, strict=True):
                found[passage] = states
                if states.numel() <= self.room:
                    self.room -= states.numel()
                    self._kept[passage] = states.clone()
        return logits_of(self.model, torch.cat([found[passage] for passage in batch.passages]))


@dataclass
class DivergenceReader:
    """Compares every predicted token of the passages of examples with the base."""

    examples: Sequence[Example]
    base: BaseLogits
    contexts: Contexts
    keeps_cache: bool = field(init=False, default=False)
    _table: TokenTable = field(init=False, default_factory=TokenTable)

    def watching(self, model: nn.Module, batch: Batch) -> AbstractContextManager[Any]:
        """Nothing to watch."""
        return nullcontext()

    def take(self, model: nn.Module, batch: Batch, logits: Logits, cache: Any) -> None:
        """Compare with the base, some rows at a time."""
        base = logits if model is self.base.model else self.base.of(batch)
        tokens = torch.tensor(predicted(batch), device=logits.device)
        parts = (slice(at, at + logits.step) for at in range(0, len(tokens), logits.step))
        self._table.add(
            batch,
            (_compare(logits.at(part), base.at(part).to(logits.device), tokens[part]) for part in parts),
        )

    def result(self, tokenizer: Any) -> TokenDivergenceSeen:
        """One entry per predicted token, example by example."""
        columns = self._table.columns(tokenizer)
        return TokenDivergenceSeen(examples=tuple(self.examples), contexts=self.contexts, **columns)


def _compare(tuned: Tensor, base: Tensor, tokens: Tensor) -> dict[str, Tensor]:
    """tuned, base: (rows, vocab) logits.  tokens: (rows,).  Returns: columns, each (rows,)."""
    log_p, log_q = log_probs(tuned), log_probs(base)
    rank, ties = rank_of(base, tuned.argmax(-1))
    forced = tokens.unsqueeze(-1)
    floats = {
        "kl_tuned_base": kl_divergence(log_p, log_q),
        "kl_base_tuned": kl_divergence(log_q, log_p),
        "entropy_tuned": entropy(log_p),
        "entropy_base": entropy(log_q),
        "logprob_tuned": log_p.gather(-1, forced).squeeze(-1),
        "logprob_base": log_q.gather(-1, forced).squeeze(-1),
        "logprob_tuned_top": log_p.gather(-1, log_q.argmax(-1, keepdim=True)).squeeze(-1),
    }
    return {name: column.cpu().double() for name, column in floats.items()} | {
        "base_rank": rank,
        "base_ties": ties,
    }
