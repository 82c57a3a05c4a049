"""Which of two answers does the model find likelier, and did the preferred one gain or the other lose?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from sft_probe.data.examples import Dataset, DataSets
from sft_probe.data.preferences import REJECTED
from sft_probe.errors import NotApplicable
from sft_probe.observe.needs import Need, Scores
from sft_probe.observe.observations import Floats, Observed
from sft_probe.probes import options
from sft_probe.probes.base import About
from sft_probe.probes.rows import Answered, Metric
from sft_probe.schema import Measurements

PAIRS = "preference.pairs"
LOOK = Scores(dataset=PAIRS)
ACCURACY = Metric(name="preference_accuracy", unit="1", better="higher", share=True)
MOVED = Metric(name="preference_gained_share", unit="1", better="higher", share=True, null=0.5)
MARGIN = Metric(name="preference_margin_change", unit="nats", better="higher", null=0.0)
CHOSEN = Metric(name="chosen_logprob_change", unit="nats", better="higher", null=0.0)
AVOIDED = Metric(name="rejected_logprob_change", unit="nats", better="neither", null=0.0)
NULLS = {metric.name: metric.null for metric in (MOVED, MARGIN, CHOSEN, AVOIDED)}


@dataclass(frozen=True, kw_only=True)
class Preference:
    """Log-likelihoods of the preferred and the rejected answer to the same prompt, against the base's."""

    name: ClassVar[str] = "preference"
    about: ClassVar[About] = About(
        question="Which of two answers is likelier, and did the preferred one gain or the other lose?",
        axis="what",
        source="Rafailov et al. 2023 (arXiv 2305.18290), implicit reward; Razin et al. 2024 "
        "(arXiv 2410.08847), likelihood displacement",
        null="the base's share of pairs; margins that did not move, half of them up",
        blind_spots="Sums over tokens favour short answers. What the model says by itself may be neither.",
        cost="forward",
        headline=("preference_accuracy", "preference_margin_change", "chosen_logprob_change"),
    )

    dataset: str = "preferences"
    limit: int | None = 200

    def __post_init__(self) -> None:
        options.name(self.name, dataset=self.dataset)
        options.at_least(self.name, 1, limit=self.limit)

    def derive(self, data: DataSets) -> Mapping[str, Dataset]:
        """The pairs; choice 0 is preferred. Raises: NotApplicable if there are none."""
        rows = data[self.dataset].examples if self.dataset in data else ()
        pairs = tuple(
            replace(row, choices=(row.target, str(row.meta[REJECTED])))
            for row in rows
            if isinstance(row.meta.get(REJECTED), str)
        )
        if not pairs:
            raise NotApplicable(f"there is no data set '{self.dataset}' with preferred and rejected answers")
        return {PAIRS: Dataset(PAIRS, pairs[: self.limit], source=f"pairs of '{self.dataset}'")}

    def needs(self) -> tuple[Need, ...]:
        """Likelihoods of both answers."""
        return (LOOK,)

    def measure(self, seen: Observed, base: Observed) -> Measurements:
        """Rows for all pairs and by stratum; items with the answer that is likelier."""
        examples = seen[LOOK].examples
        tuned, before = _likelihoods(seen), _likelihoods(base)
        likelier = [row.choices[int(n < 0)] for row, n in zip(examples, tuned[0] - tuned[1], strict=True)]
        said = Answered(dataset=self.dataset, examples=examples, predictions=tuple(likelier))
        found = said.measurements(_scored(tuned, before), _scored(before, before))
        rows = (replace(row, null_value=NULLS.get(row.metric, row.null_value)) for row in found.rows)
        return Measurements(tuple(rows), found.items)


def _likelihoods(observed: Observed) -> Floats:
    """(2, n) nats: of preferred and rejected answers, their end not counted."""
    return np.array(observed[LOOK].choice_logprob, dtype=float).T


def _scored(now: Floats, before: Floats) -> dict[Metric, Floats]:
    margin, gained = now[0] - now[1], (now[0] - now[1]) - (before[0] - before[1])
    return {
        ACCURACY: (1 + np.sign(margin)) / 2,
        MOVED: (1 + np.sign(gained)) / 2,
        MARGIN: gained,
        CHOSEN: now[0] - before[0],
        AVOIDED: now[1] - before[1],
    }
