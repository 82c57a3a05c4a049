"""One entry per predicted token: the table such observations are collected in, and the plainest of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sft_probe.data.examples import Example
from sft_probe.measures.divergence import entropy, log_probs, rank_of
from sft_probe.observe.forward import Logits
from sft_probe.observe.needs import Contexts
from sft_probe.observe.observations import TokenLogprobsSeen
from sft_probe.observe.passages import Batch


def predicted(batch: Batch) -> list[int]:
    """The tokens that a batch predicts, passage by passage."""
    return [token for p in batch.passages for token in p.ids[p.start :]]


def text_of(tokenizer: Any, token: int) -> str:
    """A token as it reads inside a text, with the space before it.

    Tokenizers of sentencepiece's kind drop that space at the beginning of what they decode.
    """
    alone = tokenizer.decode([token])
    return str(tokenizer.decode([token, token])[len(alone) :])


@dataclass
class TokenTable:
    """Columns of numbers about predicted tokens, filled batch by batch in any order.

    A column is one growing array. Many small tensors, each made while logits were in memory, would lie
    between the freed ones and keep the C library from using that memory again (`docs/decisions.md`).
    """

    _columns: dict[str, bytearray] = field(init=False, default_factory=dict)
    _types: dict[str, np.dtype[Any]] = field(init=False, default_factory=dict)
    _example: list[int] = field(init=False, default_factory=list)
    _position: list[int] = field(init=False, default_factory=list)
    _token: list[int] = field(init=False, default_factory=list)

    def add(self, batch: Batch, parts: Iterable[Mapping[str, Tensor]]) -> None:
        """parts: columns of some of the batch's predicted tokens after another, each (n,) on any device."""
        for part in parts:
            for name, column in part.items():
                values = column.cpu().numpy()
                self._types[name] = values.dtype
                self._columns.setdefault(name, bytearray()).extend(values.tobytes())
        for member, count in zip(batch.members, batch.counts, strict=True):
            self._example += [member] * count
            self._position += range(count)
        self._token += predicted(batch)

    def columns(self, tokenizer: Any) -> dict[str, Any]:
        """`example`, `position`, `token` as text and all columns, example by example."""
        example, position = np.array(self._example, dtype=np.int64), np.array(self._position, dtype=np.int64)
        order = np.lexsort((position, example))
        names = {token: text_of(tokenizer, token) for token in set(self._token)}
        return {
            "example": example[order],
            "position": position[order],
            "token": tuple(names[self._token[i]] for i in order),
            **{name: np.frombuffer(self._columns[name], kind)[order] for name, kind in self._types.items()},
        }


@dataclass
class LogprobReader:
    """Log-probability, rank and entropy at every predicted token of the passages of examples."""

    examples: Sequence[Example]
    contexts: Contexts
    keeps_cache: bool = field(init=False, default=False)
    _table: TokenTable = field(init=False, default_factory=TokenTable)

    def watching(self, model: nn.Module, batch: Batch) -> AbstractContextManager[Any]:
        """Nothing to watch."""
        return nullcontext()

    def take(self, model: nn.Module, batch: Batch, logits: Logits, cache: Any) -> None:
        """Judge every token, some rows at a time."""
        tokens = torch.tensor(predicted(batch), device=logits.device)
        parts = (slice(at, at + logits.step) for at in range(0, len(tokens), logits.step))
        self._table.add(batch, (_judge(logits.at(part), tokens[part]) for part in parts))

    def result(self, tokenizer: Any, n_truncated: int) -> TokenLogprobsSeen:
        """One entry per predicted token, example by example."""
        columns = self._table.columns(tokenizer)
        return TokenLogprobsSeen(
            examples=tuple(self.examples), contexts=self.contexts, n_truncated=n_truncated, **columns
        )


def _judge(logits: Tensor, tokens: Tensor) -> dict[str, Tensor]:
    """logits: (rows, vocab).  tokens: (rows,).  Returns: columns, each (rows,)."""
    log_p = log_probs(logits)
    rank, _ = rank_of(logits, tokens)
    logprob = log_p.gather(-1, tokens.unsqueeze(-1)).squeeze(-1)
    return {"logprob": logprob.cpu().double(), "rank": rank, "entropy": entropy(log_p).cpu().double()}
