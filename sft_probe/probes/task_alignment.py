"""Does the model give the answers it was trained to give?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, get_args

import numpy as np

from sft_probe.data.examples import Example
from sft_probe.errors import DataError
from sft_probe.measures.likelihood import Scoring, choice_scores, is_chosen, margin
from sft_probe.measures.text import contains, exact_match, token_f1
from sft_probe.observe.needs import Generations, Need, Scores
from sft_probe.observe.observations import Floats, GenerationsSeen, Observed, ScoresSeen
from sft_probe.probes import options
from sft_probe.probes.base import About
from sft_probe.probes.rows import Answered, Metric, Scored
from sft_probe.probes.scorers import answers as answer_metrics
from sft_probe.probes.scorers import classification as label_metrics
from sft_probe.probes.scorers.answers import question_scores, text_rows, text_scores
from sft_probe.probes.scorers.classification import Judged, judged, label_rows, label_scores
from sft_probe.probes.scorers.labels import label_sets, labelled
from sft_probe.schema import NAN, Measurements

NO_CHOICES = "no example has choices"
EXACT = Metric(name="exact_match", unit="1", better="higher", share=True)
CONTAINS = Metric(name="contains_match", unit="1", better="higher", share=True)
F1 = Metric(name="token_f1", unit="1", better="higher", share=True)
ACCURACY = Metric(name="choice_accuracy", unit="1", better="higher", share=True, absent=NO_CHOICES)
MARGIN = Metric(name="choice_margin", unit="nats", better="higher", absent=NO_CHOICES)
LOGPROB = Metric(name="answer_logprob", unit="nats/token", better="higher")
METRICS = label_metrics.METRICS + answer_metrics.METRICS
WITH_ITEMS = ("label_nll", "answer_match", "number_match", "rouge_l")
"""Of each kind of task the metric whose values are kept example by example, besides those of every task."""


@dataclass(frozen=True, kw_only=True)
class TaskAlignment:
    """Strict, lenient and likelihood scores on the trained task, overall and per stratum.

    Classification, question answering and generation have metrics of their own, which say so where no
    example is of their kind. choice_score: what choices compete by; summed log-likelihood, or that per token
    or per byte. numeric_tolerance: relative, for answers that are numbers.
    """

    name: ClassVar[str] = "task_alignment"
    about: ClassVar[About] = About(
        question="Does the model give the answers it was trained to give?",
        axis="what",
        source="Rajpurkar et al. 2016, SQuAD (exact match, token F1); lm-eval (choice accuracy); "
        "Guo et al. 2017 (calibration error); Lin 2004 (ROUGE); Popovic 2015 (chrF)",
        null="the base model's value on the same examples",
        blind_spots="A gain of the strict score alone may be nothing but format: read it beside the lenient "
        "score and choice accuracy. Says nothing about inputs unlike the test set.",
        cost="generation",
        headline=("exact_match", "contains_match", "choice_accuracy", "answer_logprob"),
    )

    dataset: str = "test"
    max_new_tokens: int = 48
    limit: int | None = None
    choice_score: Scoring = "sum"
    numeric_tolerance: float = 1e-6

    def __post_init__(self) -> None:
        options.name(self.name, dataset=self.dataset)
        options.at_least(self.name, 1, max_new_tokens=self.max_new_tokens, limit=self.limit)
        options.one_of(self.name, get_args(Scoring), choice_score=self.choice_score)
        options.share(self.name, numeric_tolerance=self.numeric_tolerance)

    def needs(self) -> tuple[Need, ...]:
        """Greedy answers, and likelihoods of targets and choices."""
        return self._generations, self._scores

    def measure(self, seen: Observed, base: Observed) -> Measurements:
        """Rows for every metric and stratum, against the base's value; items with the answer given."""
        answers = seen[self._generations]
        said = Answered(dataset=self.dataset, examples=answers.examples, predictions=answers.texts)
        tuned, before = self._judged(seen), self._judged(base)
        found = said.measurements(self._scored(seen), self._scored(base))
        by_kind = said.measurements(self._by_kind(seen, tuned), self._by_kind(base, before))
        rows = (*label_rows(said, tuned, before), *text_rows(said, answers, base[self._generations]))
        kept = tuple(item for item in by_kind.items if item.metric in WITH_ITEMS)
        return found + Measurements((*by_kind.rows, *rows), kept)

    def _scored(self, observed: Observed) -> Scored:
        """What every task is judged by."""
        answers, scores = observed[self._generations], observed[self._scores]
        chosen, margins = self._choices(scores)
        return {
            **_text_scores(answers),
            ACCURACY: chosen,
            MARGIN: margins,
            LOGPROB: scores.target_logprob / np.where(scores.target_tokens > 0, scores.target_tokens, NAN),
        }

    def _judged(self, observed: Observed) -> Judged:
        scores = observed[self._scores]
        labels = labelled(scores, label_sets(scores.examples), self.choice_score)
        return judged(labels, scores, observed[self._generations])

    def _by_kind(self, observed: Observed, labels: Judged) -> Scored:
        """What classification, question answering and generation are judged by."""
        answers = observed[self._generations]
        is_label = np.zeros(len(answers.examples), dtype=bool)
        is_label[labels.labelled.rows] = True
        return {
            **label_scores(labels, len(answers.examples)),
            **question_scores(answers, is_label, self.numeric_tolerance),
            **text_scores(answers),
        }

    def _choices(self, scores: ScoresSeen) -> Floats:
        """Right or not, and margin: (2, n), NaN for examples without choices."""
        found = np.full((2, len(scores.examples)), NAN)
        for i, example in enumerate(scores.examples):
            if example.choices:
                right = _right_choice(example)
                competing = choice_scores(
                    scores.choice_logprob[i], scores.choice_tokens[i], example.choices, self.choice_score
                )
                found[:, i] = is_chosen(competing, right), margin(scores.choice_logprob[i], right)
        return found

    @property
    def _generations(self) -> Generations:
        return Generations(dataset=self.dataset, max_new_tokens=self.max_new_tokens, limit=self.limit)

    @property
    def _scores(self) -> Scores:
        return Scores(dataset=self.dataset, limit=self.limit)


def _text_scores(answers: GenerationsSeen) -> Scored:
    pairs = [(text, example.target) for text, example in zip(answers.texts, answers.examples, strict=True)]
    return {
        EXACT: np.array([exact_match(*pair) for pair in pairs]) * answers.stopped.astype(float),
        CONTAINS: np.array([contains(*pair) for pair in pairs], dtype=float),
        F1: np.array([token_f1(*pair) for pair in pairs], dtype=float),
    }


def _right_choice(example: Example) -> int:
    if example.target not in example.choices:
        raise DataError(
            f"the target {example.target!r} of example '{example.id}' is none of its choices.",
            field="choices",
            remedy="Add it to the choices, letter for letter.",
        )
    return example.choices.index(example.target)
