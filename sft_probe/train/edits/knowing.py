"""What edits share that pick rows by whether the base knows them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from sft_probe.data.examples import Dataset, DataSets, Example
from sft_probe.errors import NotApplicable
from sft_probe.observe.needs import Need, Scores
from sft_probe.probes.knowing import Detector, Known
from sft_probe.train.edits.base import Change, EditContext, Edited, planted

FACTS = "knowledge.facts"  # one name for all of them: what one has seen of the base serves the next


@dataclass(frozen=True, kw_only=True)
class PicksByKnowledge:
    """distractors: wrong answers beside each right one. size: false positives that are allowed.
    within: only rows whose part in `decompose` is one of these. seed: of distractors and draws."""

    name: ClassVar[str] = ""
    distractors: int = 7
    size: float = 0.05
    within: tuple[str, ...] = ()
    seed: int = 0

    def needs(self) -> tuple[Need, ...]:
        """Likelihoods of right and wrong answers under the base."""
        return (Scores(dataset=FACTS),)

    def derive(self, data: DataSets) -> Mapping[str, Dataset]:
        """Every fact with wrong answers of the same kind."""
        return {FACTS: self._detector.dataset(FACTS, data["train"].examples)}

    def known(self, context: EditContext) -> Known:
        """What the base knows of the training rows."""
        return self._detector.judge(context.base[Scores(dataset=FACTS)])

    def judged(self, rows: Sequence[Example], known: Known) -> list[Example]:
        """The rows that can be judged and are of the asked part. Raises: NotApplicable without any."""
        own = [row for row in rows if row.id in known.facts and (not self.within or part(row) in self.within)]
        if not own:
            raise NotApplicable("of no row it can be told whether the base knows it")
        return own

    def picked(self, rows: Sequence[Example], kept: Sequence[Example], known: Known) -> Edited:
        """The kept rows, each saying whether the base knows it and how surely; the others in the log."""
        stay = {row.id for row in kept}
        done = tuple(
            planted(row, self.name, {"known": known.knows(row.id), "log_odds": known.odds[0][row.id]})
            for row in kept
        )
        gone = tuple(Change(row.id, "left out", row.target, "") for row in rows if row.id not in stay)
        return Edited(done, gone)

    @property
    def _detector(self) -> Detector:
        return Detector(distractors=self.distractors, size=self.size, seed=self.seed, wordings=1)


def part(row: Example) -> str:
    """Its part in a decomposed study: a stratum, or the reserve; empty otherwise."""
    return str(row.meta.get("decompose", ""))
