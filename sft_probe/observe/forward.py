"""The forward pass: without labels, without output_hidden_states, with logits only where they are read.

Labels would let a trainer's patched forward return no logits; `output_hidden_states` leaves hooks on the
blocks for good (transformers 5).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from sft_probe.errors import ModelError
from sft_probe.models.anatomy import learns_prompt, tokens_in_front, without_adapter
from sft_probe.models.unembedding import unembedding
from sft_probe.observe.passages import Batch, Budget, Passage, plan

CHUNK = 2**24  # logits in memory at once; 64 MiB in float32


class Branch(NamedTuple):
    """Tokens read behind the first `shared` tokens of a passage, in place of what follows there.

    parent: row of the passage in its batch. ids: at least one token.
    """

    parent: int
    shared: int
    ids: tuple[int, ...]


@dataclass(frozen=True)
class Logits:
    """Logits of k predicted tokens, made where they are read, some rows at a time.

    states: (k, hidden) of the last layer, after the final norm.  vocabulary: logits per row.  made: all of
    them, where they are made already.
    """

    states: Tensor
    unembed: Callable[[Tensor], Tensor]
    vocabulary: int
    made: Tensor | None = None

    def __len__(self) -> int:
        return len(self.states)

    @property
    def device(self) -> torch.device:
        """Where the states are."""
        return self.states.device

    @property
    def step(self) -> int:
        """How many rows may be in memory at once."""
        return max(1, CHUNK // self.vocabulary)

    @cached_property
    def whole(self) -> Tensor:
        """(k, vocab) all of them; for a few rows."""
        return self.unembed(self.states) if self.made is None else self.made

    def at(self, rows: Tensor | slice) -> Tensor:
        """(n, vocab) logits of some rows, at most `step` of them."""
        return self.whole[rows] if len(self) <= self.step else self.unembed(self.states[rows])

    def only(self, rows: Sequence[int]) -> Logits:
        """The same for some rows. Few logits are made once for all who share them."""
        index = torch.tensor(rows, dtype=torch.int64, device=self.device)
        made = self.whole[index] if len(self) <= self.step else None
        return Logits(self.states[index], self.unembed, self.vocabulary, made)


def read(model: nn.Module, batch: Batch, *, keep_cache: bool = False) -> tuple[Logits, Any]:
    """Read a batch. Returns: logits of the k predicted tokens and of forks, and the key-value cache if kept.

    Forks need a model that `trees.packs`.
    Raises: ModelError if the model gives no logits.
    """
    device, columns = device_of(model), batch.columns
    options: dict[str, Any] = {"use_cache": keep_cache} if "use_cache" in arguments(model) else {}
    ids, first = batch.input_ids.to(device), columns.start
    if halves := unembedding(model):
        if batch.forked:
            positions, visible = batch.forked
            options["position_ids"] = positions.to(device)
            options["attention_mask"] = additive(visible[:, None].to(device), model)
        output = halves.decoder(input_ids=ids, **options)
        kept, first = output.last_hidden_state, 0
    else:
        sliced, front = "logits_to_keep" in arguments(model), tokens_in_front(model)
        wanted = slice(columns.start + front, columns.stop + front)
        if sliced:
            options["logits_to_keep"] = torch.arange(wanted.start, wanted.stop, device=device)
        output = model(input_ids=ids, **options)
        kept = _logits(output) if sliced else _logits(output)[:, wanted]
    return logits_of(model, batch.pick(kept, first)), output.past_key_values if keep_cache else None


def additive(visible: Tensor, model: nn.Module) -> Tensor:
    """A mask to be added to attention scores, in the precision of a model."""
    dtype = next(model.parameters()).dtype
    hidden = torch.zeros(visible.shape, dtype=dtype, device=visible.device)
    return hidden.masked_fill_(~visible, torch.finfo(dtype).min)


def logits_of(model: nn.Module, states: Tensor) -> Logits:
    """Logits from (k, hidden) states of the last layer; without halves they are logits already."""
    halves = unembedding(model)
    return Logits(states, halves.logits if halves else _as_they_are, vocabulary(model))


def read_all(
    model: nn.Module,
    passages: Sequence[Passage],
    budget: Budget,
    *,
    keep_cache: bool = False,
    watching: Callable[[Batch], Sequence[AbstractContextManager[Any]]] = lambda batch: (),
) -> Iterator[tuple[Batch, Logits, Any]]:
    """Read passages in batches within the budget, in smaller ones from where memory runs out.

    watching: what is entered around the forward pass of a batch; it may be entered again with a smaller one.
    Raises: ModelError if not even one sequence fits into memory.
    """
    bound = logits_at_once(model)
    waiting = plan(passages, budget, bound)
    while waiting:
        batch = waiting[0]
        try:
            with ExitStack() as stack:
                for watch in watching(batch):
                    stack.enter_context(watch)
                logits, cache = read(model, batch, keep_cache=keep_cache)
        except (RuntimeError, MemoryError) as error:
            budget.shrink(error, rows=len(batch.members), width=batch.width)
            left = [member for batch in waiting for member in batch.members]
            waiting = plan(passages, budget, bound, left)
            continue
        waiting = waiting[1:]
        yield batch, logits, cache


def read_branches(
    model: nn.Module, cache: Any, branches: Sequence[Branch], budget: Budget
) -> Iterator[tuple[list[int], Logits]]:
    """Read branches behind what is already in a cache, so that a shared prompt is read once.

    Yields: indices of some branches, and logits at every token of theirs, each padded to the longest.
    """
    bound = logits_at_once(model)
    waiting = list(range(len(branches)))
    while waiting:
        group = plan_branches(branches, budget, bound, waiting)[0]
        try:
            logits = _read_group(model, cache, [branches[i] for i in group])
        except (RuntimeError, MemoryError) as error:
            width = max(len(branches[i].ids) for i in group)
            budget.shrink(error, rows=len(group), width=width)
            continue
        taken = set(group)
        waiting = [i for i in waiting if i not in taken]
        yield group, logits


def plan_branches(
    branches: Sequence[Branch], budget: Budget, bound: int, only: Sequence[int]
) -> list[list[int]]:
    """Indices of branches that are read together, by length. bound: as `vocab_size` of `plan`."""
    order = sorted(only, key=lambda i: (len(branches[i].ids), branches[i].shared))
    groups: list[list[int]] = []
    for index in order:
        tokens = (len(groups[-1]) + 1) * len(branches[index].ids) if groups else 0
        if groups and tokens <= budget.tokens and tokens * bound <= budget.logits:
            groups[-1].append(index)
        else:
            groups.append([index])
    return groups


def logits_at_once(model: nn.Module) -> int:
    """Logits per position that a forward pass makes whether they are read or not: 0 or the vocabulary."""
    return 0 if unembedding(model) else vocabulary(model)


def can_branch(model: nn.Module) -> bool:
    """Whether branches can be read from a cache: all layers attend to everything, positions can be given."""
    from transformers import DynamicCache
    from transformers.cache_utils import DynamicLayer

    config = without_adapter(model).config
    if learns_prompt(model):  # peft puts its prompt before a cache once more
        return False
    if not {"past_key_values", "position_ids", "attention_mask"} <= arguments(model):
        return False
    if "local" in getattr(config, "attention_layers", ()):  # GPT-Neo's window is none of the cache's
        return False
    return all(type(layer) is DynamicLayer for layer in DynamicCache(config=config).layers)


def arguments(model: nn.Module) -> frozenset[str]:
    """Names of the arguments of the model's forward, looked up below a peft wrapper."""
    return _arguments(type(without_adapter(model)).forward)


def vocabulary(model: nn.Module) -> int:
    """Number of logits per position."""
    return int(without_adapter(model).config.get_text_config().vocab_size)


def device_of(model: nn.Module) -> torch.device:
    """Where the inputs of a model must be."""
    return next(model.parameters()).device


@lru_cache(maxsize=32)
def _arguments(forward: Callable[..., Any]) -> frozenset[str]:
    return frozenset(inspect.signature(forward).parameters)


def _logits(output: Any) -> Tensor:
    logits = getattr(output, "logits", None)
    if not isinstance(logits, Tensor) or logits.ndim != 3:
        raise ModelError(
            f"the model's forward returned no logits ({type(output).__name__}).",
            remedy="It may be patched by a training framework; unpatch it before probing.",
        )
    return logits


def _read_group(model: nn.Module, cache: Any, branches: list[Branch]) -> Logits:
    from transformers import DynamicCache

    device = device_of(model)
    parents = torch.tensor([b.parent for b in branches], device=device)
    shared = torch.tensor([b.shared for b in branches], device=device)
    deepest, width = max(b.shared for b in branches), max(len(b.ids) for b in branches)
    ids = torch.zeros(len(branches), width, dtype=torch.int64)
    for row, branch in enumerate(branches):
        ids[row, : len(branch.ids)] = torch.tensor(branch.ids)
    past = DynamicCache(
        [(layer.keys[parents, :, :deepest], layer.values[parents, :, :deepest]) for layer in cache.layers]
    )
    visible = torch.arange(deepest, device=device) < shared[:, None]
    options: dict[str, Any] = {
        "input_ids": ids.to(device),
        "attention_mask": torch.cat([visible, visible.new_ones(len(branches), width)], dim=1).long(),
        "position_ids": shared[:, None] + torch.arange(width, device=device),
        "past_key_values": past,
        "use_cache": True,
    }
    halves = unembedding(model)
    states = halves.decoder(**options).last_hidden_state if halves else _logits(model(**options))
    return logits_of(model, states.flatten(0, 1))


def _as_they_are(logits: Tensor) -> Tensor:
    return logits
