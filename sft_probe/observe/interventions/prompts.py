"""Interventions on what is put before a model. They change examples and token ids, never the model."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from itertools import islice

from sft_probe.data.examples import Dataset, Example, Message
from sft_probe.errors import DataError, SpecError
from sft_probe.observe.interventions.values import (
    FewShot,
    Intervention,
    ModelIntervention,
    Prefill,
    PromptIntervention,
    Template,
)

# One turn per line, and an empty line between examples.
PLAIN_TEMPLATE = """\
{%- for message in messages -%}
{{ message['content'] }}
{%- if message['role'] != 'assistant' -%}{{ '\\n' }}
{%- elif loop.last -%}{{ eos_token }}
{%- else -%}{{ '\\n\\n' }}
{%- endif -%}
{%- endfor -%}
"""


@dataclass(frozen=True, slots=True)
class Wording:
    """How the examples of a data set are put to a model. The default is a look without interventions."""

    few_shot: FewShot | None = None
    prefill: Prefill | None = None
    template: bool = True


def split(under: Iterable[Intervention]) -> tuple[Wording, tuple[ModelIntervention, ...]]:
    """Interventions on the prompt as one value, and those on the model in their order.

    Raises: SpecError if a prompt would be changed twice in the same way.
    """
    wording, changes = Wording(), []
    kinds = set()
    for intervention in under:
        if not isinstance(intervention, PromptIntervention):
            changes.append(intervention)
            continue
        if type(intervention) in kinds:
            raise SpecError(f"a need names {type(intervention).__name__} twice.", field="under")
        kinds.add(type(intervention))
        match intervention:
            case FewShot():
                wording = replace(wording, few_shot=intervention)
            case Prefill():
                wording = replace(wording, prefill=intervention)
            case Template(on):
                wording = replace(wording, template=on)
    return wording, tuple(changes)


def ranked(data: Dataset, seed: int) -> list[Example]:
    """The rows of a data set in an order that depends on seed and content alone."""
    return sorted(data, key=lambda e: sha256(f"{seed}|{e.messages!r}|{e.target}".encode()).digest())


def shots(example: Example, candidates: Sequence[Example], few_shot: FewShot) -> tuple[Example, ...]:
    """The solved examples that stand before an example: never itself, nor one that asks the same.

    The first candidates that may be shown are taken, so that all examples share most of their shots.
    Raises: DataError if there are too few.
    """
    usable = list(islice((c for c in candidates if not _asks_the_same(c, example)), few_shot.k))
    if len(usable) < few_shot.k:
        raise DataError(
            f"example '{example.id}' needs {few_shot.k} shots, but data set '{few_shot.dataset}' has only "
            f"{len(usable)} that ask something else.",
            field="under",
        )
    if not few_shot.shuffled:
        return tuple(usable)
    answers = [shot.target for shot in (*usable[1:], usable[0])]
    return tuple(replace(shot, target=answer) for shot, answer in zip(usable, answers, strict=True))


def with_shots(example: Example, before: Sequence[Example]) -> Example:
    """A conversation that begins with solved examples, under the system message of its own.

    Raises: DataError if one of them is plain text, which asks nothing.
    """
    if plain := [e.id for e in (*before, example) if not e.messages]:
        raise DataError(
            f"few-shot prompts need conversations, but example '{plain[0]}' is plain text.", field="under"
        )
    system = tuple(turn for turn in example.messages[:1] if turn.role == "system")
    turns = (
        turn
        for shot in before
        for turn in (*_without_system(shot.messages), Message("assistant", shot.target))
    )
    return replace(example, messages=(*system, *turns, *example.messages[len(system) :]))


def _without_system(messages: Sequence[Message]) -> Iterable[Message]:
    return (turn for turn in messages if turn.role != "system")


def _asks_the_same(shot: Example, example: Example) -> bool:
    return tuple(_without_system(shot.messages)) == tuple(_without_system(example.messages))
