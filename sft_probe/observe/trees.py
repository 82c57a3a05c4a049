"""Continuations read in one row with their context, under a mask that lets each see its own past only.

A branch behind a kept cache copies the cache and takes a second pass; one row needs neither. Contexts that
begin alike (few-shot examples, a system message) share that beginning through the cache.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor, nn

from sft_probe.models.anatomy import without_adapter
from sft_probe.models.unembedding import Unembedding, unembedding
from sft_probe.observe.forward import additive, can_branch, device_of, logits_of
from sft_probe.observe.observations import Bools, Ints
from sft_probe.observe.passages import Budget
from sft_probe.observe.prefixes import families
from sft_probe.observe.scoring import FANNED, Question, TokenScores, score, token_scores

CPU_TOKENS = 1024  # in one pass; the activations of more do not fit the processor's caches
COPIED = 4  # how many times the budget the copies of a shared beginning may take

_packing: WeakKeyDictionary[nn.Module, bool] = WeakKeyDictionary()


class Tree(NamedTuple):
    """One row: a context, without what it shares with others, and tokens that each follow one of the row.

    question: index. members: which of its continuations are in the row. parents: place of the token before
    each, -1 for the first. places: per continuation, where each of its tokens is predicted.
    """

    question: int
    members: tuple[int, ...]
    ids: tuple[int, ...]
    parents: tuple[int, ...]
    places: tuple[tuple[int, ...], ...]

    @property
    def forks(self) -> bool:
        """Whether some token does not follow the one to its left."""
        return self.parents != tuple(range(-1, len(self.ids) - 1))


class _Reading(NamedTuple):
    """A batch of trees behind a shared beginning, and where the model predicts their tokens.

    states: (k, hidden). rows: per continuation, tree by tree, the states behind which its tokens come.
    """

    batch: list[Tree]
    states: Tensor
    rows: list[Ints]


def score_together(
    model: nn.Module, questions: Sequence[Question], budget: Budget
) -> list[list[TokenScores]]:
    """As `scoring.score`, with every beginning that contexts or continuations share read once.

    A model that cannot be read in this way is left to `scoring.score`. The model is lent already.
    """
    if not packs(model):
        return score(model, questions, budget)
    found: dict[tuple[int, int], TokenScores] = {}
    for beginning, trees in _plan(tuple(questions)):
        for reading in _read_all(model, beginning, trees, budget):
            found |= _scores(model, questions, reading)
    return [[found[q, c] for c in range(len(x.continuations))] for q, x in enumerate(questions)]


def planned(
    questions: Sequence[Question], budget: Budget, device: torch.device
) -> Iterator[tuple[tuple[int, ...], list[list[Tree]]]]:
    """What `score_together` reads of a model that packs: each shared beginning, and the batches behind it."""
    for beginning, trees in _plan(tuple(questions)):
        waiting, batches = list(trees), []
        while waiting:
            batches.append(_batch(waiting, len(beginning), budget, device))
            waiting = waiting[len(batches[-1]) :]
        yield beginning, batches


def packs(model: nn.Module) -> bool:
    """Whether a model can be read in trees. It is asked itself, once: do they show what sequences show?"""
    inner = without_adapter(model)
    if inner not in _packing:
        halves = unembedding(model)
        _packing[inner] = halves is not None and can_branch(model) and _agrees(model)
    return _packing[inner]


def _agrees(model: nn.Module) -> bool:
    question = Question((1, 2, 3), ((4, 5, 6), (4, 6, 5), (6, 5, 4)))
    forked = _trees(0, question, 1)
    alone = [tree for c in question.continuations for tree in _trees(0, Question(question.context, (c,)), 0)]
    try:
        ours, theirs = (
            torch.cat([reading.states[torch.from_numpy(rows)] for rows in reading.rows]).float()
            for beginning, trees in ((question.context[:1], forked), ((), alone))
            for reading in _read_all(model, beginning, trees, Budget())
        )
    except (TypeError, ValueError, RuntimeError, AttributeError, IndexError):
        return False  # its forward takes no such mask, positions or cache
    tolerance = min(1000 * torch.finfo(next(model.parameters()).dtype).eps, 0.1)
    return bool((ours - theirs).abs().max() < tolerance * theirs.std())


@lru_cache(maxsize=8)  # the same questions are asked at every look
def _plan(questions: tuple[Question, ...]) -> tuple[tuple[tuple[int, ...], tuple[Tree, ...]], ...]:
    """Each shared beginning with the trees behind it, in the order in which they are read."""
    found = []
    for shared, members in families([question.context for question in questions]):
        trees = [tree for member in members for tree in _trees(member, questions[member], shared)]
        ordered = sorted(trees, key=lambda tree: (tree.forks, len(tree.ids)))
        found.append((questions[members[0]].context[:shared], tuple(ordered)))
    return tuple(found)


def _trees(index: int, question: Question, shared: int) -> list[Tree]:
    """Rows of one question. Very many continuations are spread over several."""
    context, trees = question.context[shared:], []
    room, members, size = max(len(context), FANNED), [0], len(question.continuations[0])
    for at, continuation in enumerate(question.continuations[1:], start=1):
        size += len(continuation)
        if size > room:
            trees.append(_tree(index, question, context, members))
            members, size = [], len(continuation)
        members.append(at)
    return [*trees, _tree(index, question, context, members)]


def _tree(index: int, question: Question, context: tuple[int, ...], members: Sequence[int]) -> Tree:
    ids, parents = list(context), list(range(-1, len(context) - 1))
    known: dict[tuple[int, int], int] = {}
    places = []
    for member in members:
        place = [len(context) - 1]
        for token in question.continuations[member][:-1]:
            step = place[-1], token
            if step not in known:
                known[step] = len(ids)
                ids.append(token)
                parents.append(place[-1])
            place.append(known[step])
        places.append(tuple(place))
    return Tree(index, tuple(members), tuple(ids), tuple(parents), tuple(places))


def _read_all(
    model: nn.Module, beginning: Sequence[int], trees: Sequence[Tree], budget: Budget
) -> Iterator[_Reading]:
    """Read all trees behind a shared beginning in their order; batches shrink where memory runs out."""
    halves = unembedding(model)
    assert halves is not None
    past = _past(halves, beginning, device_of(model)) if beginning else None
    waiting = list(trees)
    while waiting:
        batch = _batch(waiting, len(beginning), budget, device_of(model))
        try:
            reading = _read(halves, past, len(beginning), batch, device_of(model))
        except (RuntimeError, MemoryError) as error:
            budget.shrink(error, rows=len(batch), width=len(batch[-1].ids))
            continue
        waiting = waiting[len(batch) :]
        yield reading


def _batch(waiting: Sequence[Tree], shared: int, budget: Budget, device: torch.device) -> list[Tree]:
    tokens = min(budget.tokens, CPU_TOKENS) if device.type == "cpu" else budget.tokens
    size = 1
    for tree in waiting[1:]:
        width = len(tree.ids)
        copied = (size + 1) * (shared + width) if shared else 0
        if (size + 1) * width > tokens or copied > COPIED * budget.tokens:
            break
        size += 1
    return list(waiting[:size])


def _past(halves: Unembedding, beginning: Sequence[int], device: torch.device) -> Any:
    ids = torch.tensor([list(beginning)], device=device)
    return halves.decoder(input_ids=ids, use_cache=True).past_key_values


def _read(halves: Unembedding, past: Any, shared: int, batch: list[Tree], device: torch.device) -> _Reading:
    ids, positions, visible = _inputs(batch, shared)
    options: dict[str, Any] = {"input_ids": ids.to(device), "use_cache": past is not None}
    if visible is not None:
        options["attention_mask"] = additive(visible.to(device), halves.decoder)
    if visible is not None or past is not None:
        options["position_ids"] = positions.to(device)
    if past is not None:
        options["past_key_values"] = _copies(past, len(batch))
    states = halves.decoder(**options).last_hidden_state.flatten(0, 1)
    at = [row * ids.shape[1] + np.array(place) for row, tree in enumerate(batch) for place in tree.places]
    used, inverse = np.unique(np.concatenate(at), return_inverse=True)
    rows = np.split(inverse, np.cumsum([len(place) for place in at])[:-1])
    return _Reading(batch, states[torch.from_numpy(used).to(device)], rows)


def _inputs(batch: Sequence[Tree], shared: int) -> tuple[Tensor, Tensor, Tensor | None]:
    """(batch, seq) ids and positions, and who sees whom, (batch, 1, seq, shared + seq), if some row forks."""
    width = max(len(tree.ids) for tree in batch)
    ids = np.zeros((len(batch), width), dtype=np.int64)
    positions = np.tile(np.arange(shared, shared + width), (len(batch), 1))
    visible = np.tile(np.tri(width, dtype=np.bool_), (len(batch), 1, 1))
    for row, tree in enumerate(batch):
        ids[row, : len(tree.ids)] = tree.ids
        if tree.forks:
            _fork(tree, positions[row], visible[row])
    if not any(tree.forks for tree in batch):
        return torch.from_numpy(ids), torch.from_numpy(positions), None
    all_seen = np.ones((len(batch), width, shared), dtype=np.bool_)
    mask = np.concatenate([all_seen, visible], axis=2)[:, None]
    return torch.from_numpy(ids), torch.from_numpy(positions), torch.from_numpy(mask)


def _fork(tree: Tree, positions: Ints, visible: Bools) -> None:
    first = next(at for at, parent in enumerate(tree.parents) if parent != at - 1)
    for at in range(first, len(tree.ids)):
        parent = tree.parents[at]
        positions[at] = positions[parent] + 1
        visible[at] = visible[parent]
        visible[at, at] = True


def _copies(past: Any, n: int) -> Any:
    from transformers import DynamicCache

    return DynamicCache([(x.keys.expand(n, -1, -1, -1), x.values.expand(n, -1, -1, -1)) for x in past.layers])


def _scores(
    model: nn.Module, questions: Sequence[Question], reading: _Reading
) -> dict[tuple[int, int], TokenScores]:
    keys = [(tree.question, member) for tree in reading.batch for member in tree.members]
    tokens = [np.array(questions[q].continuations[c], dtype=np.int64) for q, c in keys]
    scored = token_scores(
        logits_of(model, reading.states), np.concatenate(reading.rows), np.concatenate(tokens)
    )
    ends = np.cumsum([len(ids) for ids in tokens])[:-1]
    parts = zip(np.split(scored.logprob, ends), np.split(scored.greedy, ends), strict=True)
    return {key: TokenScores(*part) for key, part in zip(keys, parts, strict=True)}
