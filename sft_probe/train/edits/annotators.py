"""Labels by several annotators who do not agree."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import ClassVar

from sft_probe.data.annotations import judgements
from sft_probe.data.examples import Example
from sft_probe.errors import NotApplicable, SpecError
from sft_probe.observe.needs import Need
from sft_probe.train.edits.base import Change, EditContext, Edited, planted


@dataclass(frozen=True, kw_only=True)
class Annotators:
    """Let each labelled row be labelled by one annotator of several, each with a habit of their own.

    weights: share of the rows of each annotator; they sum to 1. disagree: chance, in [0, 1], with which an
    annotator departs from the label given; annotator k then prefers the k-th of the other labels. names: in
    place of habits, annotators whose labels stand in `meta.annotators`, in the order of `weights`; rows
    without a label of each stay as they are. seed: who labels what.
    """

    name: ClassVar[str] = "annotators"
    weights: tuple[float, ...] = (0.5, 0.3, 0.2)
    disagree: float = 0.3
    names: tuple[str, ...] = ()
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.weights or min(self.weights) < 0 or abs(sum(self.weights) - 1) > 1e-6:
            raise SpecError("weights must be shares that sum to 1.", field="edits.annotators.weights")
        if not 0 <= self.disagree <= 1:
            raise SpecError(f"disagree must be in [0, 1], not {self.disagree}.", field="edits.annotators")
        if self.names and len(self.names) != len(self.weights):
            raise SpecError("each of the names needs a weight.", field="edits.annotators.names")

    def needs(self) -> tuple[Need, ...]:
        """Nothing."""
        return ()

    def apply(self, rows: Sequence[Example], context: EditContext) -> Edited:
        """Labelled rows say who labelled them (`annotator`), the label given (`clean`), and the planted
        `distribution` of labels over all annotators."""
        able = [i for i, row in enumerate(rows) if len(row.choices) > 1 and self._labelled(row)]
        if not able:
            raise NotApplicable(
                "no training row has a closed set of answers"
                + (" and a label of each annotator" if self.names else ", so annotators cannot disagree")
            )
        draw, done, changes = context.draw(self.name, self.seed), list(rows), []
        for i in able:
            who, said = self._say(rows[i], draw)
            truth = {"annotator": who, "clean": rows[i].target, "distribution": self.distribution(rows[i])}
            done[i] = planted(replace(rows[i], target=said), self.name, truth)
            if said != rows[i].target:
                changes.append(Change(rows[i].id, f"labelled by annotator {who}", rows[i].target, said))
        return Edited(tuple(done), tuple(changes))

    def distribution(self, row: Example) -> Mapping[str, float]:
        """Chance of each label for this row, over annotators and their moods."""
        departs = 1.0 if self.names else self.disagree
        chance = defaultdict(float, {row.target: 1 - departs})
        for who, weight in enumerate(self.weights):
            chance[self._preferred(row, who)] += weight * departs
        return {label: chance[label] for label in row.choices}

    def _say(self, row: Example, draw: Random) -> tuple[int, str]:
        (who,) = draw.choices(range(len(self.weights)), self.weights)
        departs = bool(self.names) or draw.random() < self.disagree
        return who, self._preferred(row, who) if departs else row.target

    def _labelled(self, row: Example) -> bool:
        """Whether each named annotator labelled it."""
        return not self.names or set(self.names) <= set(_by_name(row))

    def _preferred(self, row: Example, who: int) -> str:
        if self.names:
            return _by_name(row)[self.names[who]]
        others = sorted(choice for choice in row.choices if choice != row.target)
        return others[who % len(others)]


def _by_name(row: Example) -> Mapping[str, str]:
    """Labels of the annotators whose names are known."""
    found = judgements(row)
    return found.by if found else {}
