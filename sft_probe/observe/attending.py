"""Attention patterns, taken in forward passes of their own with the kernel that shows them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from sft_probe.data.chat import prompt_text
from sft_probe.data.examples import Example
from sft_probe.measures.attention import mass_on, pattern_distance, pattern_entropy
from sft_probe.models.anatomy import anatomy
from sft_probe.observe.forward import read, read_all
from sft_probe.observe.observations import AttentionSeen, Bools
from sft_probe.observe.passages import Batch, Budget, Passage

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

TOKENS = 1024  # in one pass: patterns grow with the square of its length
KERNEL = "_attn_implementation_internal"  # of a config, where transformers 5 looks the kernel up
FIRST, ANSWER, OTHER = "first", "answer", "other"
"""Kinds of tokens beside the named ones: the first token, the answer so far, and the rest of the prompt."""

Patterns = dict[int, Tensor]
"""By layer: (batch, heads, queries, keys) float32 on the CPU, for the queries `Batch.columns`."""


class Heads(NamedTuple):
    """One example at one layer, averaged over its queries: (heads,), (heads,), (heads, kinds)."""

    entropy: Tensor
    distance: Tensor
    mass: Tensor


def attention_budget(budget: Budget) -> Budget:
    """The bound on one pass that shows patterns."""
    return replace(budget, tokens=min(budget.tokens, TOKENS))


def attention_seen(
    models: tuple[nn.Module, nn.Module],
    examples: Sequence[Example],
    passages: Sequence[Passage],
    named: Sequence[Mapping[str, Bools]],
    budget: Budget,
) -> AttentionSeen:
    """Statistics of every head at the tokens from which an answer is predicted, example by example.

    models: the model and its base, lent already; they may be the same object. passages: prompt and answer of
    each example. named: as `named_tokens` gives them. Layers whose kernel shows no pattern are left out.
    """
    model, base = models
    kinds = (FIRST, *dict.fromkeys(kind for own in named for kind in own), ANSWER, OTHER)
    found: dict[int, dict[int, Heads]] = {}
    watched: list[Patterns] = []

    def watching(batch: Batch) -> list[Any]:
        watched.clear()
        return [_watching(model, batch, watched)]

    with showing(model), showing(base):
        allowed = attention_budget(budget)
        for batch, _, _ in read_all(model, passages, allowed, watching=watching):
            tuned = watched.pop()
            before = tuned if model is base else _read(base, batch)
            for row, member in enumerate(batch.members):
                marks = _marks(batch.passages[row], named[member], kinds)
                for layer in tuned.keys() & before.keys():
                    heads = _judge(batch, row, tuned[layer], before[layer], marks)
                    found.setdefault(layer, {})[member] = heads
    layers = sorted(found)
    return AttentionSeen(
        examples=tuple(examples),
        layers=tuple(layers),
        kinds=kinds,
        present=np.array([[_is_there(kind, own) for own in named] for kind in kinds]),
        entropy=_stacked([[found[layer][i].entropy for i in range(len(examples))] for layer in layers]),
        distance=_stacked([[found[layer][i].distance for i in range(len(examples))] for layer in layers]),
        mass=_stacked([[found[layer][i].mass for i in range(len(examples))] for layer in layers]),
    )


def named_tokens(
    example: Example,
    prompt: Sequence[int],
    field: str,
    tokenizer: PreTrainedTokenizerBase,
    chat_template: str | None = None,
) -> dict[str, Bools]:
    """Which tokens of a prompt belong to the pieces of text that `meta[field]` names, by kind.

    `meta[field]` maps a kind to pieces that stand in the prompt word for word; the first place counts.
    Nothing is found where the tokenizer gives no offsets.
    """
    wanted: Any = example.meta.get(field) or {}
    text = prompt_text(example, tokenizer, chat_template)
    if not wanted or not tokenizer.is_fast:
        return {}
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    if list(encoded["input_ids"]) != list(prompt):
        return {}
    starts, ends = np.array(encoded["offset_mapping"], dtype=np.int64).T
    found = {}
    for kind, pieces in wanted.items():
        inside = np.zeros(len(prompt), dtype=np.bool_)
        for piece in pieces:
            at = text.find(piece)
            inside |= (at >= 0) & (starts < at + len(piece)) & (ends > at)
        found[str(kind)] = inside
    return found


@contextmanager
def showing(model: nn.Module) -> Iterator[None]:
    """While open, attention is computed by the plain kernel, which hands on its weights."""
    owned = (getattr(module, "config", None) for module in model.modules())
    configs = {id(config): config for config in owned if hasattr(config, KERNEL)}
    before = [(config, getattr(config, KERNEL)) for config in configs.values()]
    try:
        for config, _ in before:
            setattr(config, KERNEL, "eager")
        yield
    finally:
        for config, kernel in before:
            setattr(config, KERNEL, kernel)


@contextmanager
def _watching(model: nn.Module, batch: Batch, into: list[Patterns]) -> Iterator[None]:
    """Keep what the attention of each block hands on beside its output, if it is a pattern."""
    patterns: Patterns = {}

    def keep(layer: int, module: nn.Module, args: Any, output: Any) -> None:
        if layer not in patterns and (pattern := _pattern(output, batch.width)) is not None:
            patterns[layer] = pattern[:, :, batch.columns.start : batch.columns.stop].float().cpu()

    with ExitStack() as stack:
        for layer, block in enumerate(anatomy(model).blocks, start=1):
            for module in block.modules():
                stack.callback(module.register_forward_hook(partial(keep, layer)).remove)
        yield
    into.append(patterns)


def _read(model: nn.Module, batch: Batch) -> Patterns:
    into: list[Patterns] = []
    with _watching(model, batch, into):
        read(model, batch)
    return into[0]


def _pattern(output: Any, width: int) -> Tensor | None:
    """The part of a module's output that is one weight per query and key, rows of which sum to 1 or less.

    They sum to less where a head may attend to nothing (gpt-oss).
    """
    for part in output[1:] if isinstance(output, tuple) else ():
        if isinstance(part, Tensor) and part.ndim == 4 and part.shape[-2:] == (width, width):
            sums = part.float().sum(-1)
            if bool((part >= 0).all()) and bool((sums > 0).all() and (sums < 1.01).all()):
                return part
    return None


def _marks(passage: Passage, named: Mapping[str, Bools], kinds: Sequence[str]) -> Tensor:
    """(kinds, tokens read): the kind of each token is the earliest of `kinds` that fits."""
    marks, free = torch.zeros(len(kinds), len(passage.ids) - 1), torch.ones(len(passage.ids) - 1)
    for row, kind in enumerate(kinds):
        if kind == FIRST:
            marks[row, 0] = 1
        elif kind == ANSWER:
            marks[row, passage.start :] = 1
        elif kind == OTHER:
            marks[row] = 1
        elif kind in named:
            own = named[kind][-passage.start :]  # a prompt that is too long is cut at its beginning
            marks[row, : passage.start] = torch.from_numpy(own.astype(np.float32))
        marks[row] *= free
        free = free - marks[row]
    return marks


def _is_there(kind: str, named: Mapping[str, Bools]) -> bool:
    return kind in (FIRST, ANSWER, OTHER) or bool(named.get(kind, np.zeros(1, dtype=np.bool_)).any())


def _judge(batch: Batch, row: int, tuned: Tensor, base: Tensor, marks: Tensor) -> Heads:
    passage, keys = batch.passages[row], len(batch.passages[row].ids) - 1
    first = passage.start - 1 - batch.columns.start
    queries = slice(first, first + len(passage.ids) - passage.start)
    own, before = (side[row, :, queries, :keys] for side in (tuned, base))
    return Heads(
        entropy=pattern_entropy(own).mean(-1),
        distance=pattern_distance(own, before).mean(-1),
        mass=mass_on(own, marks).mean(-2),
    )


def _stacked(rows: list[list[Tensor]]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """(layers, heads, ..., examples) from one tensor per layer and example."""
    if not rows:
        return np.zeros((0, 0, 0))
    return np.stack([np.stack([part.double().numpy() for part in layer], axis=-1) for layer in rows])
