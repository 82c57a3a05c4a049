"""`Example`: the one shape all data takes once it is through the door."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from sft_probe.errors import DataError, nearest


class Message(NamedTuple):
    """One turn of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One row of data.

    messages: the turns before the answer; empty for plain text, whose whole text is then `target`.
    target: the answer that is trained on or expected.
    begun: the beginning of `target` that is given, as if somebody else had written it: it bears no loss.
    choices: closed answer set for likelihood scoring, empty where there is none; holds `target`.
    stratum: group reported on its own line. cluster: entity or document, for clustered errors.
    """

    id: str
    target: str
    messages: tuple[Message, ...] = ()
    choices: tuple[str, ...] = ()
    stratum: str = ""
    cluster: str = ""
    begun: str = ""
    meta: Mapping[str, object] = field(default_factory=dict)

    @property
    def prompt(self) -> str:
        """The turns before the answer as readable text, for item tables."""
        return "\n".join(m.content if m.role == "user" else f"[{m.role}] {m.content}" for m in self.messages)


@dataclass(frozen=True, slots=True)
class Dataset:
    """A named, ordered tuple of examples with a content digest."""

    name: str
    examples: tuple[Example, ...]
    source: str = ""

    def __len__(self) -> int:
        return len(self.examples)

    def __iter__(self) -> Iterator[Example]:
        return iter(self.examples)

    @property
    def digest(self) -> str:
        """sha256 over the content of all examples, in order."""
        lines = (
            json.dumps(
                [e.id, e.messages, e.target, e.choices, e.stratum, e.cluster, dict(e.meta), *_begun(e)],
                ensure_ascii=False,
                sort_keys=True,
                default=str,
            )
            for e in self.examples
        )
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _begun(example: Example) -> tuple[str, ...]:
    """Nothing where nothing is given, so that digests are what they were before there was such a field."""
    return (example.begun,) if example.begun else ()


class DataSets(Mapping[str, Dataset]):
    """The named data sets of a study. An unknown name raises DataError with the nearest known one."""

    def __init__(self, sets: Mapping[str, Dataset]) -> None:
        self._sets = dict(sets)

    def __getitem__(self, name: str) -> Dataset:
        if name not in self._sets:
            raise DataError(f"the study has no data set named '{name}'.", remedy=nearest(name, self._sets))
        return self._sets[name]

    def __contains__(self, name: object) -> bool:
        return name in self._sets

    def __iter__(self) -> Iterator[str]:
        return iter(self._sets)

    def __len__(self) -> int:
        return len(self._sets)
