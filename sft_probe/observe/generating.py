"""Greedy answers. An own loop over the key-value cache, because `generate` fills every setting that is not
given from `model.generation_config` (transformers 5), sampling and repetition penalties included.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from sft_probe.models.anatomy import without_adapter
from sft_probe.observe.forward import arguments, device_of
from sft_probe.observe.passages import Budget

Done = Callable[[list[int]], bool]


def generate(
    model: nn.Module,
    prompts: Sequence[Sequence[int]],
    *,
    max_new_tokens: int,
    stops: Collection[int],
    budget: Budget,
    done: Done | None = None,
) -> list[list[int]]:
    """Greedy continuations, the stop token included where one was generated.

    done: an additional stop rule over the tokens generated so far. A batch is padded on the left; answers
    that have ended leave it. The model is lent already. Prompts must leave room in the context.
    """
    answers: list[list[int]] = [[] for _ in prompts]
    order = sorted(range(len(prompts)), key=lambda i: (len(prompts[i]), i))
    start = _Loop if _keeps_cache(model) else _Rereading

    def ended(answer: list[int]) -> bool:
        return answer[-1] in stops or bool(done and done(answer))

    while order:
        group = order[:1]
        for index in order[1:]:
            if (len(group) + 1) * len(prompts[index]) > budget.tokens:
                break
            group.append(index)
        try:
            found = _answer(start(model, [prompts[i] for i in group]), len(group), max_new_tokens, ended)
        except (RuntimeError, MemoryError) as error:
            budget.shrink(error, rows=len(group), width=len(prompts[group[-1]]))
            continue
        for index, answer in zip(group, found, strict=True):
            answers[index] = answer
        order = order[len(group) :]
    return answers


def _answer(loop: _Loop | _Rereading, n: int, max_new_tokens: int, ended: Done) -> list[list[int]]:
    """The answers of one batch of `n` prompts; those that have ended leave it."""
    answers: list[list[int]] = [[] for _ in range(n)]
    group = list(range(n))
    for _ in range(max_new_tokens):
        for row, token in zip(group, loop.step(), strict=True):
            answers[row].append(token)
        going = [place for place, row in enumerate(group) if not ended(answers[row])]
        if not going:
            break
        if len(going) < len(group):
            group = [group[place] for place in going]
            loop.keep(going)
    return answers


class _Loop:
    """One batch on its way: what was read, what can be attended to, and the cache."""

    def __init__(self, model: nn.Module, prompts: Sequence[Sequence[int]]) -> None:
        from transformers import DynamicCache

        width = max(len(prompt) for prompt in prompts)
        ids = torch.zeros(len(prompts), width, dtype=torch.int64)
        mask = torch.zeros_like(ids)
        for row, prompt in enumerate(prompts):
            ids[row, width - len(prompt) :] = torch.tensor(list(prompt))
            mask[row, width - len(prompt) :] = 1
        self.model, device = model, device_of(model)
        self.ids, self.mask = ids.to(device), mask.to(device)
        self.positions = (self.mask.cumsum(-1) - 1).clamp(min=0)
        self.cache: Any = DynamicCache(config=without_adapter(model).config)

    def step(self) -> list[int]:
        """Read the newest tokens and append the most likely next one to every row."""
        options: dict[str, Any] = {"position_ids": self.positions, "logits_to_keep": 1, "use_cache": True}
        output = self.model(
            input_ids=self.ids,
            attention_mask=self.mask,
            **{_cache_argument(self.model): self.cache},
            **{name: value for name, value in options.items() if name in arguments(self.model)},
        )
        best: Tensor = output.logits[:, -1].argmax(-1, keepdim=True)
        self.ids, self.positions = best, self.positions[:, -1:] + 1
        self.mask = torch.cat([self.mask, self.mask.new_ones(len(best), 1)], dim=1)
        return best.squeeze(1).tolist()

    def keep(self, rows: Sequence[int]) -> None:
        """Go on with some rows only."""
        chosen = torch.tensor(rows, device=self.ids.device)
        self.ids, self.positions, self.mask = self.ids[chosen], self.positions[chosen], self.mask[chosen]
        self.cache.reorder_cache(chosen)  # unlike `batch_select_indices`, recurrent states go along


class _Rereading:
    """The same for a model that keeps its past elsewhere than in a cache: every step reads all again."""

    def __init__(self, model: nn.Module, prompts: Sequence[Sequence[int]]) -> None:
        self.model, self.rows = model, [list(prompt) for prompt in prompts]

    def step(self) -> list[int]:
        """Append the most likely next token to every row."""
        device = device_of(self.model)
        ids = pad_sequence([torch.tensor(row) for row in self.rows], batch_first=True).to(device)
        last = torch.tensor([len(row) - 1 for row in self.rows], device=device)
        logits: Tensor = self.model(input_ids=ids).logits
        best = logits[torch.arange(len(last), device=device), last].argmax(-1).tolist()
        for row, token in zip(self.rows, best, strict=True):
            row.append(token)
        return best

    def keep(self, rows: Sequence[int]) -> None:
        """Go on with some rows only."""
        self.rows = [self.rows[row] for row in rows]


def _cache_argument(model: nn.Module) -> str:
    """What the model's forward calls its cache, or "" if it takes none that we know."""
    return next((name for name in ("past_key_values", "cache_params") if name in arguments(model)), "")


def _keeps_cache(model: nn.Module) -> bool:
    """Whether a model remembers by a cache that it is handed, and by nothing else.

    A recurrent one may keep states in its modules (RecurrentGemma); then it does not give the cache back.
    """
    name = _cache_argument(model)
    if not name or not getattr(without_adapter(model), "_is_stateful", False):
        return bool(name)
    token = torch.zeros(1, 1, dtype=torch.int64, device=device_of(model))
    return getattr(model(input_ids=token, use_cache=True), name, None) is not None
