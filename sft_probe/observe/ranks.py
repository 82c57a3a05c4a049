"""The processes that train one model together, and what each of them looks at.

Under `accelerate launch` every process runs the same study. A look is shared out among them: each reads
every n-th row of a data set, or a whole need that cannot be divided, and what all have seen is gathered once.
Until then no process waits for another, so it does not matter how many passes each of them makes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, fields, replace
from datetime import timedelta
from typing import Any, TypeVar

import numpy as np

from sft_probe.data.examples import Example
from sft_probe.errors import ModelError
from sft_probe.observe.grouping import declared
from sft_probe.observe.needs import (
    Generations,
    Need,
    Scores,
    States,
    TokenDivergence,
    TokenLogprobs,
    Unembedding,
    Weights,
)
from sft_probe.observe.observations import GenerationsSeen, Observation, ScoresSeen

Value = TypeVar("Value")
Divisible = Scores | TokenLogprobs | Generations | TokenDivergence | States
PATIENCE = timedelta(hours=1)  # for a process that others wait for; the first one judges alone
KEPT = ("n", "contexts", "layers")  # fields that are the same in all parts

_apart: ContextVar[bool] = ContextVar("apart", default=False)


@dataclass(frozen=True, slots=True)
class Ranks:
    """rank: number of this process.  count: of all that look together; 1 where nobody else does."""

    rank: int = 0
    count: int = 1

    @staticmethod
    def here() -> Ranks:
        """As torch.distributed was initialised; alone if it was not, and inside `apart`."""
        from torch import distributed

        if _apart.get() or not (distributed.is_available() and distributed.is_initialized()):
            return Ranks()
        return Ranks(distributed.get_rank(), distributed.get_world_size())

    @property
    def first(self) -> bool:
        """Whether this process judges, keeps and reports."""
        return self.rank == 0

    def gather(self, value: Value) -> list[Value]:
        """What every process brings, in the order of their numbers."""
        from torch import distributed

        if self.count == 1:
            return [value]
        found: list[Any] = [None] * self.count
        distributed.all_gather_object(found, value)
        return found

    def of_first(self, value: Value) -> Value:
        """What the first process brings, for all."""
        return self.gather(value)[0]


def join(*, cpu: bool) -> Ranks:
    """Meet the other processes of a launcher (`accelerate launch`, `torchrun`), if there is one.

    cpu: whether the study computes on the CPU.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) < 2:
        return Ranks()
    from accelerate import PartialState

    if cpu:
        os.environ.setdefault("ACCELERATE_USE_CPU", "true")  # the trainer asks this, not the process group
    PartialState(cpu=cpu, timeout=PATIENCE)
    return Ranks.here()


@contextmanager
def apart() -> Iterator[None]:
    """Look without the others, who do not look now."""
    token = _apart.set(True)
    try:
        yield
    finally:
        _apart.reset(token)


def together(ranks: Ranks, do: Callable[[], Value]) -> list[Value]:
    """Do something in every process, apart from the others, and gather it. An error of one is one of all.

    Raises: what this process raised, or ModelError with the words of another.
    """
    value, error = None, None
    try:
        with apart():
            value = do()
    except Exception as raised:
        error = raised
    found = ranks.gather((value, f"{type(error).__name__}: {error}" if error else ""))
    if error:
        raise error
    if said := next((words for _, words in found if words), ""):
        raise ModelError(f"another process could not look: {said}")
    return [part for part, _ in found]  # type: ignore[misc]


def divided(
    needs: Sequence[Need], ranks: Ranks, rows: Callable[[Divisible], int]
) -> tuple[list[Need], list[Need]]:
    """Needs of which every process sees a part, and the whole ones that this process sees.

    rows: of a need.  A need with fewer rows than processes, or with directions that all rows decide, is seen
    whole by one of them; weights and unembedding by all, for they cannot be handed over.
    """
    parts: list[Need] = [
        n for n in needs if isinstance(n, Divisible) and not declared([n]) and rows(n) >= ranks.count
    ]
    whole = [n for n in needs if n not in parts and not isinstance(n, Weights | Unembedding)]
    own = whole[ranks.rank :: ranks.count]
    return parts, [*own, *(n for n in needs if isinstance(n, Weights | Unembedding))]


def merged(
    found: Sequence[Mapping[int, Observation]], examples: Callable[[int], tuple[Example, ...] | None]
) -> dict[int, Observation]:
    """Observations of all processes by number of the need. examples: of a need, ours in place of theirs."""
    numbers = sorted({number for part in found for number in part})
    seen = {}
    for number in numbers:
        parts = [part[number] for part in found if number in part]
        own = examples(number)
        one: Any = join_parts(parts, own or ()) if len(parts) > 1 else parts[0]
        seen[number] = replace(one, examples=own) if own and hasattr(one, "examples") else one
    return seen


def join_parts(parts: Sequence[Any], examples: tuple[Example, ...]) -> Any:
    """One observation of n parts, each of which holds every n-th example."""
    index = np.concatenate([_example(part) * len(parts) + at for at, part in enumerate(parts)])
    order = np.argsort(index, kind="stable")
    values: dict[str, Any] = {"examples": examples}
    for name in (f.name for f in fields(parts[0]) if f.name not in (*KEPT, "examples")):
        columns = [getattr(part, name) for part in parts]
        if name == "n_truncated":
            values[name] = sum(columns)
        elif name == "example":
            values[name] = index[order]
        elif isinstance(columns[0], tuple):
            joined = [value for column in columns for value in column]
            values[name] = tuple(joined[place] for place in order)
        else:
            axis = columns[0].ndim - 2 if name == "states" else 0
            column = np.concatenate(columns, axis=axis)
            values[name] = np.take(column, order, axis=axis) if column.size else column
    return replace(parts[0], **values)


def _example(part: Any) -> Any:
    """(entries,) which of its own examples every entry of a part is about."""
    if isinstance(part, ScoresSeen | GenerationsSeen):
        return np.repeat(np.arange(len(part.examples)), part.n if isinstance(part, GenerationsSeen) else 1)
    return part.example
