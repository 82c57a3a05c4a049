"""Does the model answer from the passage it is given?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, NamedTuple

import numpy as np

from sft_probe.data.contexts import Told, contradicted, told_rows
from sft_probe.data.examples import Dataset, DataSets, Example
from sft_probe.errors import NotApplicable
from sft_probe.measures.factual import form_words, supported_share
from sft_probe.observe.needs import Generations, Need, Scores
from sft_probe.observe.observations import Floats, GenerationsSeen, Observed, ScoresSeen
from sft_probe.probes import options
from sft_probe.probes.base import About
from sft_probe.probes.rows import Answered, Metric, clusters_of
from sft_probe.schema import Measurement, Measurements

PRESENT, REMOVED, CONFLICTING = "present", "removed", "conflicting"
PLACES = {"start": 0.0, "middle": 0.5, "end": 1.0}
CELLS = (PRESENT, REMOVED, CONFLICTING, *PLACES)
SOURCE = (
    "context_use_source"  # in `Example.meta`: what may be cited, what may be cited by chance, words of form
)

EFFECT = Metric(name="context_effect", unit="nats", better="higher")
EFFECT_CHANGE = Metric(name="context_effect_change", unit="nats", better="higher", null=0.0)
GAIN = Metric(name="passage_gain", unit="nats/token", better="higher")
GAIN_CHANGE = Metric(name="passage_gain_change", unit="nats/token", better="higher", null=0.0)
CHOSEN = Metric(name="passage_chosen_share", unit="1", better="higher", share=True)
PRIOR = Metric(name="without_passage_chosen_share", unit="1", share=True)
FOLLOWED = Metric(name="conflict_followed_share", unit="1", share=True)
MOVED = Metric(name="window_chosen_share", unit="1", better="higher", share=True)
MOVED_COST = Metric(name="window_cost", unit="nats/token", better="lower")
STATED = Metric(
    name="stated_in_prompt_share",
    unit="1",
    better="higher",
    share=True,
    absent="no answer has a content word",
)
EXCESS = Metric(
    name="stated_excess_share", unit="1", better="higher", null=0.0, absent="no answer has a content word"
)
EXCESS_CHANGE = Metric(
    name="stated_excess_share_change",
    unit="1",
    better="higher",
    null=0.0,
    absent="no pair of answers has content words",
)

AGAINST_ZERO = {metric.name for metric in (EFFECT_CHANGE, GAIN_CHANGE, EXCESS, EXCESS_CHANGE)}


class Judged(NamedTuple):
    """Per example. odds: log p(own answer) - log p(the other one). logprob: of the own answer, per token."""

    odds: dict[str, Floats]
    logprob: dict[str, Floats]
    stated: Floats  # share of the answer's content words that stand in its prompt
    excess: Floats  # the same minus the share that stand in the conflicting prompt, which it did not read


@dataclass(frozen=True, kw_only=True)
class ContextUse:
    """The same question with its passage, without it, with one that says otherwise, and in a long window.

    window: sentences of filler around the passage where it is moved.
    """

    name: ClassVar[str] = "context_use"
    about: ClassVar[About] = About(
        question="Does the model answer from the passage it is given?",
        axis="what",
        source="Longpre et al. 2021, Entity-Based Knowledge Conflicts in Question Answering (arXiv "
        "2109.05052); Liu et al. 2023, Lost in the Middle (arXiv 2307.03172)",
        null="effect 0: the passage does not matter, and each of two answers is chosen half of the time",
        blind_spots="Passages are found by shared words, so answers in other words than their passage are "
        "left out. An effect shows that words of the passage count, not that it was understood.",
        cost="generation",
        headline=("context_effect", "conflict_followed_share", "passage_gain", "stated_excess_share"),
    )

    dataset: str = "test"
    limit: int = 40
    window: int = 8
    max_new_tokens: int = 32

    def __post_init__(self) -> None:
        options.name(self.name, dataset=self.dataset)
        options.at_least(self.name, 1, limit=self.limit, max_new_tokens=self.max_new_tokens)
        options.at_least(self.name, 2, window=self.window)

    def derive(self, data: DataSets) -> Mapping[str, Dataset]:
        """Every cell as a data set; choice 0 is the row's own answer, choice 1 that of another passage.

        Raises: NotApplicable if no two rows have passages that tell different answers.
        """
        told = told_rows(data[self.dataset].examples)
        form = sorted(form_words([one.example.target for one in told]))
        cells: dict[str, list[Example]] = {cell: [] for cell in CELLS}
        for index, one in enumerate(told):
            if len(cells[PRESENT]) == self.limit:
                break
            if against := contradicted(told, index):
                for cell, example in self._variants(one, against.example).items():
                    truth = {
                        SOURCE: {"read": one.example.prompt, "not read": against.example.prompt, "form": form}
                    }
                    choices = (one.example.target, against.answer)
                    cells[cell].append(replace(example, choices=choices, meta=truth))
        if not cells[PRESENT]:
            raise NotApplicable(
                f"no two rows of '{self.dataset}' have prompts in which their different answers stand"
            )
        made = f"made from '{self.dataset}'"
        return {self._set(cell): Dataset(self._set(cell), tuple(rows), made) for cell, rows in cells.items()}

    def needs(self) -> tuple[Need, ...]:
        """Likelihoods of both answers in every cell, and what the model says with the passage."""
        return (*(self._scores(cell) for cell in CELLS), self._answers)

    def measure(self, seen: Observed, base: Observed) -> Measurements:
        """How far the passage moves the odds of the answers, over items; by place for a long window."""
        answers = seen[self._answers]
        tuned, before = self._judged(seen), self._judged(base)
        said = Answered(dataset=self.dataset, examples=answers.examples, predictions=answers.texts)
        found = said.measurements(_scored(tuned, before), _scored(before, before))
        rows = (replace(row, null_value=0.0) if row.metric in AGAINST_ZERO else row for row in found.rows)
        moved = tuple(self._moved(answers.examples, tuned, before))
        return Measurements((*rows, *moved), found.items)

    def _moved(self, examples: tuple[Example, ...], tuned: Judged, base: Judged) -> list[Measurement]:
        clusters, rows = clusters_of(examples), []
        for metric, values in ((MOVED, _chosen), (MOVED_COST, _cost)):
            for place in PLACES:
                now, before = (metric.interval(values(j, place), clusters) for j in (tuned, base))
                row = metric.row(now, dataset=self.dataset, module=place)
                rows.append(replace(row, null_value=before.value))
        return rows

    def _judged(self, observed: Observed) -> Judged:
        looks = {cell: observed[self._scores(cell)] for cell in CELLS}
        stated, elsewhere = (_stated(observed[self._answers], where) for where in ("read", "not read"))
        return Judged(
            odds={cell: np.array([c[0] - c[1] for c in look.choice_logprob]) for cell, look in looks.items()},
            logprob={cell: _per_token(look) for cell, look in looks.items()},
            stated=stated,
            excess=stated - elsewhere,
        )

    @property
    def _answers(self) -> Generations:
        return Generations(dataset=self._set(PRESENT), max_new_tokens=self.max_new_tokens)

    def _variants(self, one: Told, against: Example) -> dict[str, Example]:
        """The example in every cell."""
        moved = {place: one.moved(where, self.window) for place, where in PLACES.items()}
        return {PRESENT: one.example, REMOVED: one.without(), CONFLICTING: against, **moved}

    def _scores(self, cell: str) -> Scores:
        return Scores(dataset=self._set(cell))

    def _set(self, cell: str) -> str:
        return f"{self.name}.{cell}"


def _scored(now: Judged, before: Judged) -> dict[Metric, Floats]:
    return {
        EFFECT: _effect(now),
        EFFECT_CHANGE: _effect(now) - _effect(before),
        GAIN: _gain(now),
        GAIN_CHANGE: _gain(now) - _gain(before),
        CHOSEN: _chosen(now, PRESENT),
        PRIOR: _chosen(now, REMOVED),
        FOLLOWED: 1 - _chosen(now, CONFLICTING),
        STATED: now.stated,
        EXCESS: now.excess,
        EXCESS_CHANGE: now.excess - before.excess,
    }


def _effect(judged: Judged) -> Floats:
    """Swapping the passages leaves what an answer has on its own out of account."""
    return judged.odds[PRESENT] - judged.odds[CONFLICTING]


def _gain(judged: Judged) -> Floats:
    return judged.logprob[PRESENT] - judged.logprob[REMOVED]


def _cost(judged: Judged, place: str) -> Floats:
    return judged.logprob[PRESENT] - judged.logprob[place]


def _chosen(judged: Judged, cell: str) -> Floats:
    """1 where the own answer is likelier than the other, 1/2 where both are as likely."""
    odds = judged.odds[cell]
    return np.where(odds == 0, 0.5, (odds > 0).astype(float))


def _per_token(look: ScoresSeen) -> Floats:
    pairs = zip(look.choice_logprob, look.choice_tokens, strict=True)
    return np.array([logprob[0] / count[0] for logprob, count in pairs])


def _stated(answers: GenerationsSeen, where: str) -> Floats:
    shares = []
    for example, text in zip(answers.examples, answers.texts, strict=True):
        source = example.meta[SOURCE]
        assert isinstance(source, Mapping)
        shares.append(supported_share(text, str(source[where]), source["form"]))
    return np.array(shares)
