"""Apply an arm's edits one after the other to the study's training rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, NamedTuple

from sft_probe.data.examples import Dataset, DataSets, Example
from sft_probe.errors import NotApplicable, SpecError, nearest
from sft_probe.observe.needs import Need
from sft_probe.observe.observations import Observed
from sft_probe.registry import load
from sft_probe.train.edits.base import Change, DerivingEdit, Edit, EditContext

if TYPE_CHECKING:
    from sft_probe.study.spec import EditSpec

TRAIN, LEFT_OUT = "train", "left_out"


class LoggedChange(NamedTuple):
    """A line of the edit log, with the edit that made it."""

    edit: str
    change: Change


@dataclass(frozen=True, kw_only=True)
class EditedData:
    """The study's data with edited training rows, and the whole log."""

    data: DataSets
    log: tuple[LoggedChange, ...]


def make_edit(name: str, options: Mapping[str, object]) -> Edit:
    """A registered edit with its options checked by name. Raises: UnknownComponent, SpecError."""
    kind = load("edits", name)
    known = [f.name for f in fields(kind)]
    for option in options:
        if option not in known:
            raise SpecError(
                f"edit '{name}' has no option '{option}'.",
                field=f"edits.{name}",
                remedy=nearest(option, known) if known else f"'{name}' has no options.",
            )
    given = {key: tuple(value) if isinstance(value, list) else value for key, value in options.items()}
    edit: Edit = kind(**given)
    return edit


def make_edits(specs: Iterable[EditSpec]) -> tuple[Edit, ...]:
    """The edits of an arm, in its order. Raises: UnknownComponent, SpecError."""
    return tuple(make_edit(spec.name, spec.options) for spec in specs)


def edit_training(
    edits: Iterable[Edit],
    data: DataSets,
    look_at_base: Callable[[DataSets, tuple[Need, ...]], Observed],
    seed: int,
) -> EditedData:
    """Edit the rows of "train"; those that an edit left out by lot become "left_out".

    look_at_base: shows the base, on given data, to edits that ask.
    Raises: SpecError if an edit does not fit the data or leaves no rows.
    """
    rows: tuple[Example, ...] = data[TRAIN].examples
    left_out: list[Example] = []
    log: list[LoggedChange] = []
    for edit in edits:
        try:
            context = EditContext(data=data, base=_shown(edit, rows, data, look_at_base), seed=seed)
            edited = edit.apply(rows, context)
        except NotApplicable as reason:
            raise SpecError(f"{reason}", field=f"edits.{edit.name}") from reason
        rows = edited.rows
        left_out += edited.left_out
        log += [LoggedChange(edit.name, change) for change in edited.changes]
        if not rows:
            raise SpecError("the edit leaves no rows to train on.", field=f"edits.{edit.name}")
    sets = {**data, TRAIN: replace(data[TRAIN], examples=rows)}
    if left_out:
        sets[LEFT_OUT] = Dataset(LEFT_OUT, tuple(left_out), data[TRAIN].source)
    return EditedData(data=DataSets(sets), log=tuple(log))


def _shown(
    edit: Edit,
    rows: tuple[Example, ...],
    data: DataSets,
    look_at_base: Callable[[DataSets, tuple[Need, ...]], Observed],
) -> Observed:
    """What the edit must see of the base, on the study's data and on what it makes of the rows so far."""
    own: Mapping[str, Dataset] = {}
    if isinstance(edit, DerivingEdit):
        own = edit.derive(DataSets({**data, TRAIN: replace(data[TRAIN], examples=rows)}))
    return look_at_base(DataSets({**data, **own}), edit.needs())
