"""Wrong labels at a known rate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

from sft_probe.data.examples import Example
from sft_probe.errors import NotApplicable, SpecError
from sft_probe.observe.needs import Need
from sft_probe.train.edits.base import Change, EditContext, Edited, planted


@dataclass(frozen=True, kw_only=True)
class LabelNoise:
    """Give a share of the rows that have a closed set of answers a wrong one.

    rate: share of such rows, in [0, 1); exactly round(rate * rows) of them are changed. to: for noise that
    depends on the class, the wrong label each label turns into; labels not named stay. seed: which rows.
    """

    name: ClassVar[str] = "label_noise"
    rate: float = 0.1
    to: Mapping[str, str] = field(default_factory=dict)
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.rate < 1:
            raise SpecError(f"rate must be in [0, 1), not {self.rate}.", field="edits.label_noise")

    def needs(self) -> tuple[Need, ...]:
        """Nothing."""
        return ()

    def apply(self, rows: Sequence[Example], context: EditContext) -> Edited:
        """Rows whose label changed keep the right one in `meta["planted"]["label_noise"]`."""
        able = [i for i, row in enumerate(rows) if self._wrong(row)]
        if not able:
            raise NotApplicable("no training row has a closed set of answers, so no label can be wrong")
        draw = context.draw("label_noise", self.seed)
        flipped = set(draw.sample(able, round(self.rate * len(able))))
        done, changes = list(rows), []
        for i in sorted(flipped):
            wrong = draw.choice(self._wrong(rows[i]))
            done[i] = planted(replace(rows[i], target=wrong), self.name, {"clean": rows[i].target})
            changes.append(Change(rows[i].id, "label flipped", rows[i].target, wrong))
        return Edited(tuple(done), tuple(changes))

    def _wrong(self, row: Example) -> list[str]:
        if self.to:
            return [self.to[row.target]] if row.target in self.to else []
        return sorted(choice for choice in row.choices if choice != row.target)
