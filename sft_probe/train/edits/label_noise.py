"""Wrong labels at a known rate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate, pairwise
from random import Random
from typing import ClassVar

from sft_probe.data.examples import Example
from sft_probe.errors import NotApplicable, SpecError
from sft_probe.observe.needs import Need
from sft_probe.train.edits.base import Change, EditContext, Edited, planted


@dataclass(frozen=True, kw_only=True)
class LabelNoise:
    """Give a share of the rows that have a closed set of answers a wrong one.

    rate: share of such rows, in [0, 1); exactly round(rate * rows) of them are changed. to: for noise that
    depends on the class, the wrong label each label turns into; labels not named stay. matrix: in place of
    both, for each label what share of its rows is said to be another; the rest stay. seed: which rows.
    """

    name: ClassVar[str] = "label_noise"
    rate: float = 0.1
    to: Mapping[str, str] = field(default_factory=dict)
    matrix: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.rate < 1:
            raise SpecError(f"rate must be in [0, 1), not {self.rate}.", field="edits.label_noise")
        if self.matrix and self.to:
            raise SpecError("give either `to` or `matrix`.", field="edits.label_noise")
        for label, shares in self.matrix.items():
            if label in shares or min(shares.values(), default=0) < 0 or sum(shares.values()) > 1:
                raise SpecError(
                    f"the shares of '{label}' must name other labels, be 0 or more, and sum to 1 or less.",
                    field="edits.label_noise.matrix",
                )

    def needs(self) -> tuple[Need, ...]:
        """Nothing."""
        return ()

    def apply(self, rows: Sequence[Example], context: EditContext) -> Edited:
        """Rows whose label changed keep the right one in `meta["planted"]["label_noise"]`."""
        able = [i for i, row in enumerate(rows) if self._wrong(row)]
        if not able:
            raise NotApplicable("no training row has a closed set of answers, so no label can be wrong")
        draw = context.draw("label_noise", self.seed)
        if self.matrix:
            given = self._by_class(rows, draw)
        else:
            flipped = draw.sample(able, round(self.rate * len(able)))
            given = {i: draw.choice(self._wrong(rows[i])) for i in sorted(flipped)}
        done, changes = list(rows), []
        for i, wrong in sorted(given.items()):
            done[i] = planted(replace(rows[i], target=wrong), self.name, {"clean": rows[i].target})
            changes.append(Change(rows[i].id, "label flipped", rows[i].target, wrong))
        return Edited(tuple(done), tuple(changes))

    def _by_class(self, rows: Sequence[Example], draw: Random) -> dict[int, str]:
        """The wrong label of each row that gets one, in exactly the shares of the matrix, rounded."""
        given: dict[int, str] = {}
        for label, shares in self.matrix.items():
            own = [i for i, row in enumerate(rows) if row.target == label and row.choices]
            draw.shuffle(own)
            ends = [0, *(round(total * len(own)) for total in accumulate(shares.values()))]
            for wrong, (first, last) in zip(shares, pairwise(ends), strict=True):
                given |= dict.fromkeys(own[first:last], wrong)
        return given

    def _wrong(self, row: Example) -> list[str]:
        if self.matrix:
            return [*self.matrix.get(row.target, {})] if row.choices else []
        if self.to:
            return [self.to[row.target]] if row.target in self.to else []
        return sorted(choice for choice in row.choices if choice != row.target)
