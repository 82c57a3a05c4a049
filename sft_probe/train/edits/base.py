"""The protocol of an edit: a change of known dose to the training rows, with a log of what it touched."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, NamedTuple, Protocol, runtime_checkable

from sft_probe.data.examples import Dataset, DataSets, Example
from sft_probe.observe.needs import Need
from sft_probe.observe.observations import Observed

__all__ = ["Change", "DerivingEdit", "Edit", "EditContext", "Edited", "planted"]


class Change(NamedTuple):
    """One line of the edit log. what: "label flipped", "keyword added", …; before, after: the text."""

    example: str
    what: str
    before: str
    after: str


class Edited(NamedTuple):
    """The rows to train on, and what was changed. An added row has no `before`, a removed one no `after`.

    left_out: rows that chance alone kept out of training, and that therefore compare with those in it.
    """

    rows: tuple[Example, ...]
    changes: tuple[Change, ...]
    left_out: tuple[Example, ...] = ()


@dataclass(frozen=True, kw_only=True)
class EditContext:
    """What an edit may use besides the rows.

    data: the study's data sets, unedited. base: what the edit's needs showed of the base. seed: training
    seed of the run, for edits that draw anew in every run.
    """

    data: DataSets
    base: Observed
    seed: int

    def draw(self, *key: object) -> random.Random:
        """A generator of its own for each key, alike in every process and on every platform."""
        return random.Random(":".join(str(part) for part in key))


@runtime_checkable
class Edit(Protocol):
    """A frozen dataclass whose fields are its options; the first line of its docstring describes it.

    A row that was changed says so in `Example.meta["planted"]`, a mapping by the edit's name, so that a probe
    finds the truth beside the row.
    """

    name: ClassVar[str]

    def needs(self) -> tuple[Need, ...]:
        """What it must see of the base before it can edit; most edits need nothing."""
        ...

    def apply(self, rows: Sequence[Example], context: EditContext) -> Edited:
        """Edit the rows. Pure: same rows, options and context, same result.

        Raises: NotApplicable if these rows cannot be edited so.
        """
        ...


@runtime_checkable
class DerivingEdit(Edit, Protocol):
    """An edit that must see the base on rows of its own making, such as facts with wrong answers beside."""

    def derive(self, data: DataSets) -> Mapping[str, Dataset]:
        """Data sets that its needs name, with a dot in each name; "train" holds the rows to edit.

        Pure. Raises: NotApplicable if the rows cannot give them.
        """
        ...


def planted(row: Example, edit: str, truth: Mapping[str, object]) -> Example:
    """A row that says what an edit did to it."""
    before = row.meta.get("planted", {})
    marks = {**before, edit: dict(truth)} if isinstance(before, Mapping) else {edit: dict(truth)}
    return replace(row, meta={**row.meta, "planted": marks})
