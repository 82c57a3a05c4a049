"""Answers, greedy or sampled. An own loop over the key-value cache, because `generate` fills every setting
that is not given from `model.generation_config` (transformers 5), sampling and repetition penalties included.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from sft_probe.models.anatomy import learns_prompt, tokens_in_front, without_adapter
from sft_probe.observe.forward import arguments, device_of
from sft_probe.observe.passages import Budget

Done = Callable[[list[int]], bool]


@dataclass(frozen=True, slots=True)
class Sampling:
    """Tokens drawn instead of taken.

    draws: (prompts, max_new_tokens) numbers in [0, 1), one for every token of every answer: they alone decide
    what is drawn, whatever else is in the batch.
    """

    temperature: float
    top_p: float
    draws: NDArray[np.float64]

    def of(self, prompts: Sequence[int]) -> Sampling:
        """The same for some of the prompts."""
        return replace(self, draws=self.draws[list(prompts)])


def generate(
    model: nn.Module,
    prompts: Sequence[Sequence[int]],
    *,
    max_new_tokens: int,
    stops: Collection[int],
    budget: Budget,
    done: Done | None = None,
    sampling: Sampling | None = None,
) -> list[list[int]]:
    """Continuations, greedy unless `sampling` is given; the stop token included where one was generated.

    done: an additional stop rule over the tokens generated so far. A batch is padded on the left; answers
    that have ended leave it. Where memory runs out, batches are halved. The model is lent already. Prompts
    must leave room in the context.  Raises: ModelError if not even one prompt fits into memory.
    """
    answers: list[list[int]] = [[] for _ in prompts]
    order = sorted(range(len(prompts)), key=lambda i: (len(prompts[i]), i))
    while order:
        size = fitting(prompts, order, budget)
        group = order[:size]
        rules = Rules(max_new_tokens, stops, done, sampling and sampling.of(group))
        try:
            found = _answer(model, [prompts[i] for i in group], rules)
        except (RuntimeError, MemoryError) as error:
            budget.shrink(error, rows=size, width=len(prompts[group[-1]]))
            continue
        order = order[size:]
        for index, answer in zip(group, found, strict=True):
            answers[index] = answer
    return answers


def fitting(prompts: Sequence[Sequence[int]], order: Sequence[int], budget: Budget) -> int:
    """How many of the prompts, taken in an order of ascending length, are answered together."""
    size = 1
    while size < len(order) and (size + 1) * len(prompts[order[size]]) <= budget.tokens:
        size += 1
    return size


class Rules(NamedTuple):
    """How answers are made and when they end; sampling: its draws are in the order of the answers."""

    max_new_tokens: int
    stops: Collection[int]
    done: Done | None = None
    sampling: Sampling | None = None

    def ended(self, answer: list[int]) -> bool:
        """Whether nothing may follow an answer."""
        return (
            len(answer) == self.max_new_tokens
            or answer[-1] in self.stops
            or bool(self.done and self.done(answer))
        )

    def choose(self, logits: Tensor, answers: Sequence[int], places: Sequence[int]) -> Tensor:
        """The next tokens of answers, by number, each at a place in its answer. (rows, vocab) -> (rows,)."""
        if self.sampling is None:
            return logits.argmax(-1)
        drawn = self.sampling.draws[list(answers), list(places)]
        return draw(logits, drawn, self.sampling.temperature, self.sampling.top_p)


class Predicting(Protocol):
    """One batch of answers on its way."""

    def predict(self) -> Tensor:
        """Read the newest tokens. Returns: (rows, vocab) logits of the next one of every row."""
        ...

    def append(self, tokens: Tensor) -> None:
        """One more token, (rows,), for every row."""
        ...

    def keep(self, rows: Sequence[int]) -> None:
        """Go on with some rows only."""
        ...


def go_on(loop: Predicting, answers: Mapping[int, list[int]], rules: Rules) -> None:
    """Add tokens to answers, by number, until each has ended. The rows of the loop are in their order."""
    going = list(answers)
    while going:
        tokens = rules.choose(loop.predict(), going, [len(answers[index]) for index in going])
        loop.append(tokens)
        for index, token in zip(going, tokens.tolist(), strict=True):
            answers[index].append(token)
        rows = [row for row, index in enumerate(going) if not rules.ended(answers[index])]
        if rows and len(rows) < len(going):
            loop.keep(rows)
        going = [going[row] for row in rows]


def _answer(model: nn.Module, prompts: Sequence[Sequence[int]], rules: Rules) -> list[list[int]]:
    """The answers of one batch."""
    answers: dict[int, list[int]] = {index: [] for index in range(len(prompts))}
    go_on(Loop.over(model, prompts) if keeps_cache(model) else _Rereading(model, prompts), answers, rules)
    return list(answers.values())


def draw(logits: Tensor, drawn: NDArray[np.float64], temperature: float, top_p: float) -> Tensor:
    """One token per row, at the place of a number in the cumulative distribution of the row.

    logits: (rows, vocab).  drawn: (rows,) in [0, 1).  Returns: (rows,) int64 on the device of the logits.
    Tokens stand in the order of the vocabulary, so that rounding, which may swap likely tokens of equal
    rank, does not move the places of the others. top_p keeps the smallest set of most likely tokens that
    holds this probability (Holtzman et al. 2020, arXiv 1904.09751).
    """
    p = (logits.float().cpu().double() / temperature).softmax(-1)
    if top_p < 1:
        ordered, index = p.sort(stable=True, dim=-1, descending=True)
        beyond = ordered.cumsum(-1) - ordered >= top_p
        p = p.masked_fill(torch.zeros_like(beyond).scatter(-1, index, beyond), 0.0)
    cumulative = p.cumsum(-1)
    place = torch.from_numpy(drawn)[:, None] * cumulative[:, -1:]
    token = torch.searchsorted(cumulative, place, right=True).squeeze(-1)
    return token.clamp(max=logits.shape[-1] - 1).to(logits.device)


class Loop:
    """One batch on its way: what was read, what can be attended to, and the cache.

    ids, positions: (rows, new) tokens that are read next.  mask: (rows, slots of the cache + new).
    """

    def __init__(self, model: nn.Module, ids: Tensor, positions: Tensor, mask: Tensor, cache: Any) -> None:
        self.model, self.cache = model, cache
        self.ids, self.positions, self.mask = ids, positions, mask

    @staticmethod
    def over(model: nn.Module, prompts: Sequence[Sequence[int]]) -> Loop:
        """From the beginning of prompts."""
        width = max(len(prompt) for prompt in prompts)
        ids = torch.zeros(len(prompts), width, dtype=torch.int64)
        mask = torch.zeros_like(ids)
        for row, prompt in enumerate(prompts):
            ids[row, width - len(prompt) :] = torch.tensor(list(prompt))
            mask[row, width - len(prompt) :] = 1
        device, cache = device_of(model), empty_cache(model)
        positions = (mask.cumsum(-1) - 1).clamp(min=0)
        return Loop(model, ids.to(device), positions.to(device), mask.to(device), cache)

    def predict(self) -> Tensor:
        """Read the newest tokens. Returns: (rows, vocab) logits of the next one of every row."""
        options: dict[str, Any] = {"position_ids": self.positions, "logits_to_keep": 1, "use_cache": True}
        output = self.model(
            input_ids=self.ids,
            attention_mask=self.mask,
            **{_cache_argument(self.model): self.cache},
            **{name: value for name, value in options.items() if name in arguments(self.model)},
        )
        logits: Tensor = output.logits[:, -1]
        return logits

    def append(self, tokens: Tensor) -> None:
        """One more token, (rows,), for every row."""
        self.ids, self.positions = tokens[:, None], self.positions[:, -1:] + 1
        self.mask = torch.cat([self.mask, self.mask.new_ones(len(tokens), 1)], dim=1)

    def keep(self, rows: Sequence[int]) -> None:
        """Go on with some rows only."""
        chosen = torch.tensor(rows, device=self.ids.device)
        self.ids, self.positions, self.mask = self.ids[chosen], self.positions[chosen], self.mask[chosen]
        self.cache.reorder_cache(chosen)  # unlike `batch_select_indices`, recurrent states go along


class _Rereading:
    """The same for a model that keeps its past elsewhere than in a cache: every step reads all again."""

    def __init__(self, model: nn.Module, prompts: Sequence[Sequence[int]]) -> None:
        self.model, self.rows = model, [list(prompt) for prompt in prompts]

    def predict(self) -> Tensor:
        """Read everything. Returns: (rows, vocab) logits of the next token of every row."""
        device = device_of(self.model)
        ids = pad_sequence([torch.tensor(row) for row in self.rows], batch_first=True).to(device)
        front = tokens_in_front(self.model)
        last = torch.tensor([front + len(row) - 1 for row in self.rows], device=device)
        logits: Tensor = self.model(input_ids=ids).logits
        return logits[torch.arange(len(last), device=device), last]

    def append(self, tokens: Tensor) -> None:
        """One more token, (rows,), for every row."""
        for row, token in zip(self.rows, tokens.tolist(), strict=True):
            row.append(token)

    def keep(self, rows: Sequence[int]) -> None:
        """Go on with some rows only."""
        self.rows = [self.rows[row] for row in rows]


def empty_cache(model: nn.Module) -> Any:
    """A cache of the kind that the layers of a model want."""
    from sft_probe.observe.roomy import roomy_cache

    return roomy_cache(without_adapter(model).config)


def _cache_argument(model: nn.Module) -> str:
    """What the model's forward calls its cache, or "" if it takes none that we know."""
    return next((name for name in ("past_key_values", "cache_params") if name in arguments(model)), "")


def keeps_cache(model: nn.Module) -> bool:
    """Whether a model remembers by a cache that it is handed, and by nothing else.

    A recurrent one may keep states in its modules (RecurrentGemma); then it does not give the cache back. One
    with a learned prompt gets another cache from peft than the one that it is handed.
    """
    if learns_prompt(model):
        return False
    name = _cache_argument(model)
    if not name or not getattr(without_adapter(model), "_is_stateful", False):
        return bool(name)
    token = torch.zeros(1, 1, dtype=torch.int64, device=device_of(model))
    return getattr(model(input_ids=token, use_cache=True), name, None) is not None
