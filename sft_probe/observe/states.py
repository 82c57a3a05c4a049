"""States inside a model at chosen tokens, taken by our own hooks inside a shared forward pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sft_probe.data.examples import Example
from sft_probe.errors import ModelError
from sft_probe.measures.moments import PairStream
from sft_probe.models.anatomy import anatomy, residual, tokens_in_front
from sft_probe.observe.forward import Logits, read_all
from sft_probe.observe.needs import StateLikeness, States
from sft_probe.observe.observations import Ints, StateLikenessSeen, StatesSeen
from sft_probe.observe.passages import Batch, Budget, Passage
from sft_probe.stats.intervals import cluster_codes
from sft_probe.stats.resampling import balanced_groups

ROOM = 2**26  # bytes of states that are kept as they are, over all layers, before they are summed up

Chosen = States | StateLikeness


def chosen_positions(passage: Passage, need: Chosen) -> Ints:
    """Indices of the tokens of a passage at which states are taken, ascending. See `States`."""
    read = len(passage.ids) - 1
    first = 0 if need.with_first or read == 1 else 1
    match need.at:
        case "prompt_end":
            return np.array([passage.start - 1])
        case "answer":
            return np.arange(passage.start - 1, read)
        case "all":
            return np.arange(first, read)
    return np.unique(np.linspace(first, read - 1, need.positions).round().astype(np.int64))


class Taken:
    """States at the chosen tokens of a batch: (layers, n, hidden) float32 on the CPU, passage by passage.

    member, position, following: (n,) passage and token index of each, and the id of the token behind it.
    counts: tokens of each passage.
    """

    def __init__(self, batch: Batch, need: Chosen) -> None:
        positions = [chosen_positions(passage, need) for passage in batch.passages]
        self.counts = [len(part) for part in positions]
        self.position = np.concatenate(positions)
        self.following = np.concatenate(
            [np.array(p.ids)[own + 1] for p, own in zip(batch.passages, positions, strict=True)]
        )
        self.member = np.repeat(np.array(batch.members, dtype=np.int64), self.counts)
        self.row = np.repeat(np.array(batch.rows, dtype=np.int64), self.counts)
        self.by_layer: dict[int, Tensor] = {}

    @property
    def layers(self) -> tuple[int, ...]:
        """Numbers of the layers, ascending."""
        return tuple(sorted(self.by_layer))

    @property
    def states(self) -> Tensor:
        """All layers, stacked."""
        return torch.stack([self.by_layer[layer] for layer in self.layers])

    def apart(self) -> tuple[Tensor, ...]:
        """The states of each passage."""
        return torch.split(self.states, self.counts, dim=1)


@contextmanager
def taking(model: nn.Module, batch: Batch, need: Chosen) -> Iterator[Taken]:
    """While open, a forward pass over the batch fills what is yielded. Only chosen tokens are kept.

    Layer 0 of the residual stream is what enters the first block (embedding and, where they are added,
    positions); layer i leaves block i, before the final norm. Layer i of another place is what it adds in
    block i.  Raises: ModelError if the model has no such layer or place.
    """
    taken = Taken(batch, need)
    rows = torch.from_numpy(taken.row)
    positions = torch.from_numpy(taken.position) + tokens_in_front(model)

    def keep(layer: int, hidden: Tensor) -> None:
        taken.by_layer[layer] = hidden[rows.to(hidden.device), positions.to(hidden.device)].float().cpu()

    with ExitStack() as stack:
        for layer, hook in _hooks(model, need).items():
            stack.callback(hook(partial(keep, layer)).remove)
        yield taken


@dataclass
class StatesReader:
    """Keeps states of the passages of examples at the chosen ones of the tokens that are read."""

    examples: Sequence[Example]
    need: States
    keeps_cache: bool = field(init=False, default=False)
    _taken: list[Taken] = field(init=False, default_factory=list)

    @contextmanager
    def watching(self, model: nn.Module, batch: Batch) -> Iterator[None]:
        """Hooks that keep the chosen states only, so memory does not grow with the number of tokens."""
        with taking(model, batch, self.need) as taken:
            yield
        self._taken.append(taken)

    def take(self, model: nn.Module, batch: Batch, logits: Logits, cache: Any) -> None:
        """All was taken while watching."""

    def result(self) -> StatesSeen:
        """Positions in the order of the examples."""
        example, position, following = (
            np.concatenate([getattr(taken, name) for taken in self._taken])
            for name in ("member", "position", "following")
        )
        order = np.lexsort((position, example))
        states = torch.cat([taken.states for taken in self._taken], dim=1).numpy()
        return StatesSeen(
            examples=tuple(self.examples),
            example=example[order],
            position=position[order],
            layers=self._taken[0].layers,
            states=states[:, order],
            following=following[order],
        )


@dataclass
class BaseStates:
    """States of the base on passages that come back at every look, kept up to `room` numbers."""

    model: nn.Module
    budget: Budget
    room: int = 2**26
    _kept: dict[tuple[Chosen, Passage], Tensor] = field(init=False, default_factory=dict)

    def of(self, batch: Batch, need: Chosen) -> Tensor:
        """(layers, n, hidden) states of the base where a need asks for them."""
        key = _what(need)
        found = {p: self._kept[key, p] for p in batch.passages if (key, p) in self._kept}
        missing = [passage for passage in dict.fromkeys(batch.passages) if passage not in found]
        watched: list[Taken] = []

        @contextmanager
        def watching(part: Batch) -> Iterator[None]:
            with taking(self.model, part, need) as taken:
                yield
            watched.append(taken)

        for part, _, _ in read_all(self.model, missing, self.budget, watching=lambda part: [watching(part)]):
            taken = watched.pop()
            self.keep(part, need, taken)
            found |= dict(zip(part.passages, taken.apart(), strict=True))
        return torch.cat([found[passage] for passage in batch.passages], dim=1)

    def keep(self, batch: Batch, need: Chosen, taken: Taken) -> None:
        """Remember states of the base that were read, as long as there is room."""
        key = _what(need)
        for passage, states in zip(
            batch.passages, torch.split(taken.states, taken.counts, dim=1), strict=True
        ):
            if states.numel() <= self.room and (key, passage) not in self._kept:
                self.room -= states.numel()
                self._kept[key, passage] = states.clone()


@dataclass
class LikenessReader:
    """Compares states with those of the base as they come, so that memory does not grow with their number."""

    examples: Sequence[Example]
    need: StateLikeness
    base: BaseStates
    keeps_cache: bool = field(init=False, default=False)
    _clusters: Ints = field(init=False)
    _groups: Ints = field(init=False)
    _streams: dict[int, PairStream] = field(init=False, default_factory=dict)
    _watched: list[Taken] = field(init=False, default_factory=list)
    _n: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self._clusters = cluster_codes([example.cluster for example in self.examples])
        self._groups = balanced_groups(self._clusters)

    @contextmanager
    def watching(self, model: nn.Module, batch: Batch) -> Iterator[None]:
        """Hooks that keep the chosen states of this batch."""
        with taking(model, batch, self.need) as taken:
            yield
        self._watched.append(taken)

    def take(self, model: nn.Module, batch: Batch, logits: Logits, cache: Any) -> None:
        """Pair what was watched with the base's states of the same tokens."""
        taken = self._watched.pop()
        tuned = taken.states
        if model is not self.base.model:
            base = self.base.of(batch, self.need)
        else:
            base = tuned
            if not self.need.under:
                self.base.keep(batch, self.need, taken)
        groups = self._groups[taken.member]
        for layer, x, y in zip(taken.layers, tuned.numpy(), base.numpy(), strict=True):
            if layer not in self._streams:
                self._streams[layer] = PairStream(int(self._groups.max()) + 1, ROOM // len(tuned))
            self._streams[layer].add(x, y, groups)
        self._n += len(groups)

    def result(self) -> StateLikenessSeen:
        """Statistics of all positions, layer by layer."""
        layers = tuple(sorted(self._streams))
        found = [self._streams[layer].likeness() for layer in layers]
        cka, zscored, drift = (
            np.array([[part.value, *part.without] for part in parts]) for parts in zip(*found, strict=True)
        )
        return StateLikenessSeen(
            examples=tuple(self.examples),
            n=self._n,
            n_clusters=int(self._clusters.max()) + 1,
            layers=layers,
            cka=cka,
            cka_zscored=zscored,
            drift=drift,
        )


def _what(need: Chosen) -> Chosen:
    """A need without what does not decide which states of a passage it asks for."""
    return replace(need, limit=None, under=())


def _hooks(model: nn.Module, need: Chosen) -> dict[int, Callable[[Callable[[Tensor], None]], Any]]:
    """By layer: register a function there that is called with (batch, seq, hidden) states."""
    parts = anatomy(model)
    modules = {"residual": parts.blocks, "attention": parts.attention, "mlp": parts.mlp}[need.place]
    there = {layer: _after(module) for layer, module in enumerate(modules, start=1) if module is not None}
    if need.place == "residual":
        there = {0: _before(parts.blocks[0])} | there
    wanted = sorted(there) if need.layers is None else sorted(set(need.layers))
    if not wanted or not there.keys() >= {*wanted}:
        missing = [layer for layer in wanted if layer not in there]
        raise ModelError(
            f"{type(model).__name__} has no '{need.place}' states"
            + (f" at layers {missing}." if there else "."),
            remedy=f"Layers with such states: {sorted(there)}.",
        )
    return {layer: there[layer] for layer in wanted}


def _before(module: nn.Module) -> Callable[[Callable[[Tensor], None]], Any]:
    return lambda keep: module.register_forward_pre_hook(
        lambda _, args, kwargs: keep(args[0] if args else kwargs["hidden_states"]), with_kwargs=True
    )


def _after(module: nn.Module) -> Callable[[Callable[[Tensor], None]], Any]:
    return lambda keep: module.register_forward_hook(lambda _, __, output: keep(residual(output)))
