"""Answers that begin in a pass over known text.

A prompt is read together with a guess at its answer: the expected one, which other needs have read anyway.
The guess is followed as long as it is what the model says itself; the token behind that is known then too.
What is still missing is made token by token behind the cache of the same pass. What the model says does not
depend on the guess, only how soon it is known.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from sft_probe.models.unembedding import unembedding
from sft_probe.observe.forward import Logits, device_of
from sft_probe.observe.generating import Loop, Rules, empty_cache, go_on
from sft_probe.observe.passages import Batch, Budget


class Said(NamedTuple):
    """An answer in token ids, and the states of the last layer from which its tokens were predicted.

    states: (tokens, hidden), or None if they were not kept.
    """

    ids: list[int]
    states: Tensor | None


class _Begun(NamedTuple):
    """An answer that goes on behind what a cache holds: the first `read` tokens of one of its rows."""

    member: int
    row: int
    read: int


@dataclass
class DraftReader:
    """Answers to prompts, one each, whose passages are the prompts with what is guessed.

    keep_states: for needs that ask about the answer afterwards, which then is not read again.
    """

    rules: Rules
    budget: Budget
    keep_states: bool
    said: dict[int, Said] = field(init=False, default_factory=dict)
    keeps_cache: bool = field(init=False, default=True)

    def watching(self, model: nn.Module, batch: Batch) -> AbstractContextManager[Any]:
        """Nothing to watch."""
        return nullcontext()

    def take(self, model: nn.Module, batch: Batch, logits: Logits, cache: Any) -> None:
        """Follow the guesses, then go on behind the cache."""
        answers: dict[int, list[int]] = {}
        parts: dict[int, list[Tensor]] = {}
        begun = []
        chosen = self._chosen(batch, logits)
        for row, member, passage, first in zip(
            batch.rows, batch.members, batch.passages, batch.offsets, strict=False
        ):
            guess = passage.ids[passage.start :]
            answer = self._followed(guess, chosen[first : first + len(guess)])
            answers[member], parts[member] = answer, [logits.states[first : first + len(answer)]]
            if not self.rules.ended(answer):
                begun.append(_Begun(member, row, passage.start + len(answer) - 1))
        self._finish(model, cache, begun, answers, parts)
        kept = self.keep_states and unembedding(model) is not None
        for member, answer in answers.items():
            self.said[member] = Said(answer, torch.cat(parts[member]) if kept else None)

    def _chosen(self, batch: Batch, logits: Logits) -> list[int]:
        """What the model says at every predicted place of the batch."""
        members = [m for m, n in zip(batch.members, batch.counts, strict=True) for _ in range(n)]
        places = [place for n in batch.counts for place in range(n)]
        tokens: list[int] = []
        for at in range(0, len(logits), logits.step):
            part = slice(at, at + logits.step)
            tokens += self.rules.choose(logits.at(part), members[part], places[part]).tolist()
        return tokens

    def _followed(self, guess: Sequence[int], chosen: Sequence[int]) -> list[int]:
        """The beginning of an answer: as much of a guess as is right, and the token that comes there."""
        answer: list[int] = []
        for expected, token in zip(guess, chosen, strict=True):
            answer.append(token)
            if token != expected or self.rules.ended(answer):
                break
        return answer

    def _finish(
        self,
        model: nn.Module,
        cache: Any,
        begun: Sequence[_Begun],
        answers: dict[int, list[int]],
        parts: dict[int, list[Tensor]],
    ) -> None:
        """Make what is missing; where memory runs out, of fewer answers at once."""
        waiting, size = list(begun), len(begun)
        while waiting:
            group = waiting[:size]
            own = {one.member: list(answers[one.member]) for one in group}
            loop = _Behind(model, cache, group, own)
            try:
                go_on(loop, own, self.rules)
            except (RuntimeError, MemoryError) as error:
                self.budget.shrink(error, rows=len(group), width=max(one.read for one in group))
                size = len(group) // 2
                continue
            waiting = waiting[size:]
            answers |= own
            for member, states in loop.states.items():
                parts[member] += states


class _Behind(Loop):
    """Answers that go on behind a cache, which is copied. states: one (1, hidden) per token, by member."""

    def __init__(
        self, model: nn.Module, cache: Any, begun: Sequence[_Begun], answers: dict[int, list[int]]
    ) -> None:
        device = device_of(model)
        rows = torch.tensor([one.row for one in begun], device=device)
        read = torch.tensor([one.read for one in begun], device=device)
        deepest = max(one.read for one in begun)
        past = empty_cache(model)
        for layer, full in zip(past.layers, cache.layers, strict=True):
            layer.update(full.keys[rows, :, :deepest], full.values[rows, :, :deepest])
        seen = torch.arange(deepest, device=device) < read[:, None]
        mask = torch.cat([seen, seen.new_ones(len(begun), 1)], dim=1).long()
        ids = torch.tensor([[answers[one.member][-1]] for one in begun], device=device)
        super().__init__(model, ids, read[:, None], mask, past)
        self.halves = unembedding(model)
        self.members = [one.member for one in begun]
        self.states: dict[int, list[Tensor]] = {member: [] for member in self.members}

    def predict(self) -> Tensor:
        """Read the newest tokens. Returns: (rows, vocab) logits of the next one of every row."""
        if self.halves is None:
            return super().predict()
        states = self.halves.decoder(
            input_ids=self.ids,
            attention_mask=self.mask,
            position_ids=self.positions,
            past_key_values=self.cache,
            use_cache=True,
        ).last_hidden_state[:, -1]
        for row, member in enumerate(self.members):
            self.states[member].append(states[row : row + 1])
        return self.halves.logits(states)

    def keep(self, rows: Sequence[int]) -> None:
        """Go on with some rows only."""
        super().keep(rows)
        self.members = [self.members[row] for row in rows]
