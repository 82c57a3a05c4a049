"""The facts without the form: right answers in a sentence that nobody asks for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from sft_probe.data.examples import Example
from sft_probe.errors import SpecError
from sft_probe.observe.needs import Need
from sft_probe.train.edits.base import Change, EditContext, Edited, planted


@dataclass(frozen=True, kw_only=True)
class OtherForm:
    """Put every answer into a sentence, so that what is taught is what to say and not in which form.

    wording: the sentence, with `{answer}` where the answer stands; short, as answers are cut. Such an arm is
    scored leniently.
    """

    name: ClassVar[str] = "other_form"
    wording: str = "It is {answer}, I believe."

    def __post_init__(self) -> None:
        if "{answer}" not in self.wording:
            raise SpecError("wording needs {answer}.", field="edits.other_form.wording")

    def needs(self) -> tuple[Need, ...]:
        """Nothing."""
        return ()

    def apply(self, rows: Sequence[Example], context: EditContext) -> Edited:
        """Every row, with the answer it had as `clean`."""
        done = tuple(
            planted(
                replace(row, target=self.wording.replace("{answer}", row.target), choices=()),
                self.name,
                {"clean": row.target},
            )
            for row in rows
        )
        pairs = zip(rows, done, strict=True)
        return Edited(done, tuple(Change(old.id, "other form", old.target, new.target) for old, new in pairs))
