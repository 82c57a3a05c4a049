"""One label far more often than the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from sft_probe.data.examples import Example
from sft_probe.errors import NotApplicable, SpecError
from sft_probe.observe.needs import Need
from sft_probe.train.edits.base import Change, EditContext, Edited


@dataclass(frozen=True, kw_only=True)
class Imbalance:
    """Leave out rows until one label makes up a known share of the rows with labels.

    share: of that label, in (0, 1). label: which; the most frequent if empty. rows: how many labelled rows
    to keep, alike for every share so that doses differ in nothing else; as many as possible if 0. seed:
    which rows stay.
    """

    name: ClassVar[str] = "imbalance"
    share: float = 0.9
    label: str = ""
    rows: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.share < 1:
            raise SpecError(f"share must be in (0, 1), not {self.share}.", field="edits.imbalance")

    def needs(self) -> tuple[Need, ...]:
        """Nothing."""
        return ()

    def apply(self, rows: Sequence[Example], context: EditContext) -> Edited:
        """Rows without a closed set of answers stay; those left out are in the log."""
        labelled = [row for row in rows if row.choices]
        if len({row.target for row in labelled}) < 2:
            raise NotApplicable("imbalance needs training rows with `choices` and at least two labels")
        counts = {target: sum(row.target == target for row in labelled) for target in _targets(labelled)}
        label = self.label or max(counts, key=lambda target: counts[target])
        if label not in counts:
            raise NotApplicable(f"no training row has the label '{label}'")
        own, others = counts[label], len(labelled) - counts[label]
        most = int(min(own / self.share, others / (1 - self.share)) + 1e-9)
        total = self.rows or most
        if total > most:
            raise NotApplicable(f"only {most} rows can be kept at a share of {self.share}, not {total}")
        keep = round(self.share * total)
        draw = context.draw(self.name, self.seed)
        stay = {
            row.id
            for mine, number in ((True, keep), (False, total - keep))
            for row in draw.sample([row for row in labelled if (row.target == label) is mine], number)
        }
        kept = tuple(row for row in rows if not row.choices or row.id in stay)
        gone = [row for row in labelled if row.id not in stay]
        return Edited(kept, tuple(Change(row.id, "left out", row.target, "") for row in gone))


def _targets(rows: Sequence[Example]) -> list[str]:
    return list(dict.fromkeys(row.target for row in rows))
