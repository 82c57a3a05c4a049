"""Which facts a model knows, by likelihood against matched wrong answers; shared by probes and edits.

The right answer of a fact competes with answers to alike questions, all behind the same beginning. What
ignorance looks like is measured on the same rows: each wrong answer poses as the right one among the other
wrong ones. The test's size is thereby known, and two wordings of each fact give its sensitivity.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from sft_probe.data.examples import Dataset, Example
from sft_probe.data.facts import WORDINGS, fact_rows
from sft_probe.errors import NotApplicable
from sft_probe.measures.knowledge import (
    corrected_share,
    log_odds,
    null_log_odds,
    sensitivity,
    threshold,
)
from sft_probe.observe.observations import Floats, ScoresSeen

POOL = 3000  # rows; the time to match questions grows with their square
JUDGED, CHECKED, READ = 0, 1, -1  # wordings of `data.facts.fact_rows`


@dataclass(frozen=True, kw_only=True)
class Known:
    """What a model knows. Keys are ids of rows; facts that cannot be judged are missing.

    odds: log-odds of the right answer against wrong ones, in nats, by wording. threshold: in nats, what
    ignorance exceeds with the test's size. believed: the answer the model holds instead: the same wrong one
    stands out most in both wordings, and as much as the right one of a quarter of the known facts. (By the
    threshold alone one in four facts about people who exist nowhere is "believed", from alike names.)
    """

    odds: Mapping[int, Mapping[str, float]]
    threshold: float
    specificity: float
    believed: Mapping[str, str] = field(default_factory=dict)

    @property
    def facts(self) -> frozenset[str]:
        """Ids of the rows that can be judged."""
        return frozenset(self.odds.get(JUDGED, {}))

    def knows(self, fact: str, wording: int = JUDGED) -> bool:
        """Whether the right answer stands out. False where the fact has no such wording."""
        return self.odds.get(wording, {}).get(fact, -np.inf) > self.threshold

    @property
    def sensitivity(self) -> float:
        """Share of known facts that are found; NaN if no fact has a second wording or nothing is known."""
        both = sorted(self.facts & set(self.odds.get(CHECKED, {})))
        if not both:
            return float("nan")
        first, second = (np.array([self.knows(fact, wording) for fact in both]) for wording in (0, 1))
        return sensitivity(first, second, self.specificity)

    def share(self, facts: Sequence[str]) -> float:
        """Corrected share of facts known; NaN without facts or where the test is too weak."""
        own = [self.knows(fact) for fact in facts if fact in self.facts]
        if not own:
            return float("nan")
        return corrected_share(float(np.mean(own)), self.sensitivity, self.specificity)


@dataclass(frozen=True, kw_only=True)
class Detector:
    """distractors: wrong answers beside each right one. size: false positives that are allowed. wordings: of
    each fact; with one alone neither sensitivity nor what is believed instead can be told."""

    distractors: int = 7
    size: float = 0.05
    wordings: int = WORDINGS
    seed: int = 0

    def dataset(self, name: str, examples: Sequence[Example], pool: Sequence[Example] = ()) -> Dataset:
        """The facts of some rows as texts, with wrong answers from them and from the first rows of a pool.

        Raises: NotApplicable if none can be judged.
        """
        rows = fact_rows(
            examples,
            distractors=self.distractors,
            wordings=self.wordings,
            seed=self.seed,
            pool=pool[:POOL],
        )
        if not rows:
            raise NotApplicable(
                "no question has three alike ones with other answers, so what the base knows cannot be told"
            )
        return Dataset(name, rows)

    def judge(self, seen: ScoresSeen) -> Known:
        """What a model knows, from the likelihoods of `dataset`."""
        odds: dict[int, dict[str, float]] = defaultdict(dict)
        wrong: dict[int, dict[str, tuple[float, str]]] = defaultdict(dict)
        null: list[Floats] = []
        for example, logprob in zip(seen.examples, seen.choice_logprob, strict=True):
            fact, wording = str(example.meta["fact"]), int(str(example.meta["wording"]))
            own = log_odds(logprob)
            odds[wording][fact] = float(own[0])
            best = 1 + int(np.argmax(own[1:]))
            wrong[wording][fact] = (float(own[best]), _answers(example)[best])
            if wording == JUDGED:
                null.append(null_log_odds(logprob))
        pooled = np.concatenate(null) if null else np.empty(0)
        limit = threshold(pooled, self.size)
        return Known(
            odds=odds,
            threshold=limit,
            specificity=float((pooled <= limit).mean()) if pooled.size else float("nan"),
            believed=_believed(wrong, [sure for sure in odds[JUDGED].values() if sure > limit]),
        )


def _believed(wrong: Mapping[int, Mapping[str, tuple[float, str]]], known: Sequence[float]) -> dict[str, str]:
    """The wrong answer of a fact that is best in both wordings and as sure as a quarter of what is known.

    wrong: log-odds and text of the best wrong answer by wording and fact.  known: log-odds of known facts.
    """
    if not known:
        return {}
    limit, checked = float(np.quantile(known, 0.25)), wrong.get(CHECKED, {})
    return {
        fact: answer
        for fact, (sure, answer) in wrong.get(JUDGED, {}).items()
        if fact in checked and checked[fact][1] == answer and (sure + checked[fact][0]) / 2 >= limit
    }


def _answers(example: Example) -> Sequence[str]:
    answers = example.meta["answers"]
    return answers if isinstance(answers, list | tuple) else ()
