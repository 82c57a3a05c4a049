"""Next-token distributions of a model and its base on the same tokens, compared in full."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sft_probe.data.examples import Example
from sft_probe.measures.divergence import entropy, kl_divergence, log_probs, rank_of
from sft_probe.observe.forward import Logits, logits_of, read_all
from sft_probe.observe.observations import TokenDivergenceSeen
from sft_probe.observe.passages import Batch, Budget, Passage

MEASURES = (
    "kl_tuned_base",
    "kl_base_tuned",
    "base_rank",
    "base_ties",
    "entropy_tuned",
    "entropy_base",
    "logprob_tuned",
    "logprob_base",
)


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
    keeps_cache: bool = field(init=False, default=False)
    _columns: dict[str, list[Tensor]] = field(init=False)
    _example: list[int] = field(init=False, default_factory=list)
    _position: list[int] = field(init=False, default_factory=list)
    _token: list[int] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        self._columns = {name: [] for name in MEASURES}

    def watching(self, model: nn.Module, batch: Batch) -> AbstractContextManager[Any]:
        """Nothing to watch."""
        return nullcontext()

    def take(self, model: nn.Module, batch: Batch, logits: Logits, cache: Any) -> None:
        """Compare with the base, some rows at a time."""
        base = logits if model is self.base.model else self.base.of(batch)
        forced = [token for p in batch.passages for token in p.ids[p.start :]]
        tokens = torch.tensor(forced, device=logits.device)
        for at in range(0, len(forced), logits.step):
            part = slice(at, at + logits.step)
            compared = _compare(logits.at(part), base.at(part).to(logits.device), tokens[part])
            for name, column in compared.items():
                self._columns[name].append(column.cpu())
        for member, passage in zip(batch.members, batch.passages, strict=True):
            n = len(passage.ids) - passage.start
            self._example += [member] * n
            self._position += range(n)
        self._token += forced

    def result(self, tokenizer: Any) -> TokenDivergenceSeen:
        """One entry per predicted token, example by example."""
        example, position = np.array(self._example, dtype=np.int64), np.array(self._position, dtype=np.int64)
        order = np.lexsort((position, example))
        names = {token: tokenizer.decode([token]) for token in set(self._token)}
        columns = {
            name: torch.cat(parts or [torch.zeros(0)]).numpy()[order] for name, parts in self._columns.items()
        }
        return TokenDivergenceSeen(
            examples=tuple(self.examples),
            example=example[order],
            position=position[order],
            token=tuple(names[self._token[i]] for i in order),
            **columns,
        )


def _compare(tuned: Tensor, base: Tensor, tokens: Tensor) -> dict[str, Tensor]:
    """tuned, base: (rows, vocab) logits.  tokens: (rows,).  Returns: `MEASURES`, each (rows,)."""
    log_p, log_q = log_probs(tuned), log_probs(base)
    rank, ties = rank_of(base, tuned.argmax(-1))
    forced = tokens.unsqueeze(-1)
    floats = (
        kl_divergence(log_p, log_q),
        kl_divergence(log_q, log_p),
        entropy(log_p),
        entropy(log_q),
        log_p.gather(-1, forced).squeeze(-1),
        log_q.gather(-1, forced).squeeze(-1),
    )
    kl, reverse, entropy_tuned, entropy_base, logprob_tuned, logprob_base = (x.cpu().double() for x in floats)
    values = (kl, reverse, rank, ties, entropy_tuned, entropy_base, logprob_tuned, logprob_base)
    return dict(zip(MEASURES, values, strict=True))
