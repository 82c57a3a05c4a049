"""Which needs can be met by the same look. Pure functions of needs; they touch no model."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple, TypeGuard

from sft_probe.observe.interventions import (
    Ablate,
    Add,
    Contrast,
    Declared,
    Direction,
    Graft,
    Interpolate,
    Intervention,
    MeanShift,
    ModelIntervention,
    ShrinkIntruders,
)
from sft_probe.observe.interventions.prompts import Wording, split
from sft_probe.observe.needs import (
    Generations,
    Need,
    Scores,
    Standing,
    StateLikeness,
    States,
    TokenDivergence,
    TokenLogprobs,
)

Forced = Scores | TokenLogprobs | TokenDivergence | States | StateLikeness
Answering = Generations | TokenDivergence | TokenLogprobs


class Decoding(NamedTuple):
    """How answers are made; fields as in `Generations`."""

    max_new_tokens: int
    temperature: float = 0.0
    top_p: float = 1.0
    n: int = 1
    seed: int = 0
    stop: tuple[str, ...] = ()
    stop_tokens: tuple[int, ...] = ()


class Asking(NamedTuple):
    """A data set, how it is put to a model, and how answers are made."""

    dataset: str
    wording: Wording
    decoding: Decoding


def by_changes(needs: Iterable[Need]) -> dict[tuple[ModelIntervention, ...], list[Need]]:
    """Needs by what is done to the model; those of an unchanged model first."""
    groups: dict[tuple[ModelIntervention, ...], list[Need]] = defaultdict(list, {(): []})
    for need in needs:
        _, changes = split(() if isinstance(need, Standing) else need.under)
        groups[changes].append(need)
    return groups


def forces(need: Need) -> TypeGuard[Forced]:
    """Whether a need is seen on text that is known before the model is asked."""
    return isinstance(need, Forced) and getattr(need, "contexts", "gold") != "tuned"


def by_asking(needs: Iterable[Need]) -> dict[Asking, list[Answering]]:
    """Needs that let the model answer."""
    groups: dict[Asking, list[Answering]] = defaultdict(list)
    for need in needs:
        if isinstance(need, Answering) and not forces(need):
            groups[asking(need)].append(need)
    return groups


def afterwards(needs: Iterable[Answering]) -> bool:
    """Whether some need asks about the answer once it is made."""
    return any(not isinstance(need, Generations) for need in needs)


def asking(need: Answering) -> Asking:
    """What must be asked for a need; greedily where the answer is forced afterwards and no sample."""
    if isinstance(need, Generations):
        decoding = Decoding(*(getattr(need, name) for name in Decoding._fields))
    elif need.contexts == "sampled":
        decoding = Decoding(need.max_new_tokens, temperature=1.0, seed=need.seed)
    else:
        decoding = Decoding(need.max_new_tokens)
    return Asking(need.dataset, split(need.under)[0], decoding)


def widest(needs: Iterable[Scores | Answering]) -> int | None:
    """The largest limit, where none means all rows."""
    limits = [need.limit for need in needs]
    return None if None in limits else max(limit for limit in limits if limit is not None)


def widest_scores(needs: Sequence[Forced]) -> dict[Forced, Forced]:
    """For each need the one that is read for it: of scores that differ in their limit, the widest."""
    read: dict[Forced, Forced] = {need: need for need in needs}
    for need in needs:
        if isinstance(need, Scores):
            alike = [n for n in needs if isinstance(n, Scores) and replace(n, limit=need.limit) == need]
            limit = widest(alike)
            read[need] = next(n for n in alike if n.limit == limit)
    return read


def at_base(need: Need) -> Need:
    """What a need asks of the base itself, between which and itself nothing shifts or mixes."""
    if isinstance(need, Standing):
        return need
    return replace(need, under=tuple(i for i in need.under if not _is_nothing_at_base(i)))


def declared(needs: Iterable[Need]) -> dict[Declared, States]:
    """The states that must be seen before interventions along declared directions can be applied."""
    under = (i for need in needs if not isinstance(need, Standing) for i in need.under)
    return {named: _states(named) for i in under if (named := _declared(i))}


def of_base_too(named: Mapping[Declared, States]) -> tuple[States, ...]:
    """Those of the states that must be seen of the base as well: those of mean shifts."""
    return tuple(states for direction, states in named.items() if isinstance(direction, MeanShift))


def _states(direction: Declared) -> States:
    if isinstance(direction, Contrast):
        return States(dataset=direction.dataset, at="prompt_end")
    layers = None if direction.layer is None else (direction.layer,)
    return States(dataset=direction.dataset, layers=layers)


def with_directions(
    changes: Sequence[ModelIntervention], measured: Mapping[Declared, Direction]
) -> tuple[ModelIntervention, ...]:
    """Interventions whose directions are given as vectors."""

    def resolved(change: ModelIntervention) -> ModelIntervention:
        if isinstance(change, Ablate | Add) and (named := _declared(change)):
            return replace(change, direction=measured[named])
        return change

    return tuple(resolved(change) for change in changes)


def _is_nothing_at_base(intervention: Intervention) -> bool:
    mixes = isinstance(intervention, Interpolate | Graft | ShrinkIntruders)
    return mixes or isinstance(_declared(intervention), MeanShift)


def _declared(intervention: Intervention) -> Declared | None:
    direction = intervention.direction if isinstance(intervention, Ablate | Add) else None
    return None if isinstance(direction, Direction) else direction
