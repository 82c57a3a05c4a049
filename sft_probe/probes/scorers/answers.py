"""Question answering and generation: scores of free answers, where the expected answer is of the kind."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from sft_probe.data.examples import Example
from sft_probe.errors import DataError
from sft_probe.measures.formats import json_value
from sft_probe.measures.generation import chrf, distinct, repetition, rouge
from sft_probe.measures.text import (
    contains,
    last_number,
    number_of,
    same_number,
    same_words,
    token_f1,
    words,
)
from sft_probe.observe.observations import Bools, Floats, GenerationsSeen, Ints
from sft_probe.probes.rows import Answered, Metric, Scored, clusters_of
from sft_probe.schema import NAN, Measurement
from sft_probe.stats.resampling import balanced_groups, jackknife_interval

SHORT = 8
"""An expected answer of up to this many words is one of question answering, a longer one is generation."""

NO_QUESTION = f"no question answering: no expected answer is free text of up to {SHORT} words"
NO_NUMBER = "no expected answer is a number"
NO_TEXT = f"no generation: no expected answer is free text of more than {SHORT} words"
NO_WORDS = f"{NO_TEXT}, or answers have too few words"

MATCH = Metric(name="answer_match", unit="1", better="higher", share=True, absent=NO_QUESTION)
CONTAINED = Metric(name="answer_contained", unit="1", better="higher", share=True, absent=NO_QUESTION)
BEST_F1 = Metric(name="answer_f1", unit="1", better="higher", share=True, absent=NO_QUESTION)
NUMBER = Metric(name="number_match", unit="1", better="higher", share=True, absent=NO_NUMBER)
ROUGE_1 = Metric(name="rouge_1", unit="1", better="higher", share=True, absent=NO_TEXT)
ROUGE_2 = Metric(name="rouge_2", unit="1", better="higher", share=True, absent=NO_TEXT)
ROUGE_L = Metric(name="rouge_l", unit="1", better="higher", share=True, absent=NO_TEXT)
CHRF = Metric(name="chrf", unit="1", better="higher", share=True, absent=NO_TEXT)
REPETITION = Metric(name="repetition", unit="1", share=True, absent=NO_WORDS)
STOPPED = Metric(name="text_stop_rate", unit="1", better="higher", share=True, absent=NO_TEXT)
WORDS_RATIO = Metric(name="words_ratio", unit="1", absent=NO_TEXT)
DISTINCT_1 = Metric(name="distinct_1", unit="1", absent=NO_WORDS)
DISTINCT_2 = Metric(name="distinct_2", unit="1", absent=NO_WORDS)
METRICS = (
    *(MATCH, CONTAINED, BEST_F1, NUMBER, ROUGE_1, ROUGE_2, ROUGE_L, CHRF, REPETITION, STOPPED),
    *(WORDS_RATIO, DISTINCT_1, DISTINCT_2),
)


def accepted(example: Example) -> tuple[str, ...]:
    """The target and the other answers that `meta.aliases` lists. Raises: DataError for anything else."""
    aliases = example.meta.get("aliases") or ()
    if isinstance(aliases, str) or not isinstance(aliases, Sequence):
        raise DataError(
            f"the aliases of example '{example.id}' are no list of texts.",
            field="meta.aliases",
            remedy='Write {"aliases": ["other answer", …]}.',
        )
    return (example.target, *map(str, aliases))


def is_short(example: Example) -> bool:
    """The expected answer is free text of a few words."""
    return _is_free(example) and len(words(example.target)) <= SHORT


def is_long(example: Example) -> bool:
    """The expected answer is free text of more than a few words."""
    return _is_free(example) and len(words(example.target)) > SHORT


def question_scores(answers: GenerationsSeen, labelled: Bools, tolerance: float) -> Scored:
    """Match, containment, F1 and number, one value per example; NaN where it is no such question.

    labelled: (n,) examples that are classification. tolerance: of numbers, relative.
    """
    rows = list(zip(answers.texts, answers.examples, strict=True))
    asked = np.array([is_short(example) for example in answers.examples], dtype=bool) & ~labelled
    numbers = [number_of(example.target) for example in answers.examples]

    def where_asked(score: Callable[[str, str], float]) -> Floats:
        best = [
            max(score(text, answer) for answer in accepted(example)) if is_asked else NAN
            for is_asked, (text, example) in zip(asked, rows, strict=True)
        ]
        return np.array(best, dtype=np.float64)

    found = [
        NAN if number is None or is_label else float(same_number(last_number(text), number, tolerance))
        for is_label, number, text in zip(labelled, numbers, answers.texts, strict=True)
    ]
    return {
        MATCH: where_asked(lambda text, answer: _matches(text, answer, tolerance)),
        CONTAINED: where_asked(contains),
        BEST_F1: where_asked(token_f1),
        NUMBER: np.array(found, dtype=np.float64),
    }


def text_scores(answers: GenerationsSeen) -> Scored:
    """ROUGE, chrF, repetition and stopping, one value per example; NaN where no long text is expected."""
    long = long_targets(answers)
    pairs = [(text, example.target) for text, example in zip(answers.texts, answers.examples, strict=True)]

    def where_long(score: Callable[[str, str], Sequence[float]], width: int) -> Floats:
        nothing = (NAN,) * width
        found = [score(*pair) if here else nothing for here, pair in zip(long, pairs, strict=True)]
        return np.array(found, dtype=np.float64).reshape(len(pairs), width)

    overlaps = where_long(rouge, 3)
    return {
        ROUGE_1: overlaps[:, 0],
        ROUGE_2: overlaps[:, 1],
        ROUGE_L: overlaps[:, 2],
        CHRF: where_long(lambda *pair: (chrf(*pair),), 1)[:, 0],
        REPETITION: where_long(lambda text, _: (repetition(text),), 1)[:, 0],
        STOPPED: np.where(long, answers.stopped.astype(np.float64), NAN),
    }


def long_targets(answers: GenerationsSeen) -> Bools:
    """(n,) examples whose expected answer is free text of more than a few words."""
    return np.array([is_long(example) for example in answers.examples], dtype=bool)


def text_rows(said: Answered, answers: GenerationsSeen, base: GenerationsSeen) -> Iterator[Measurement]:
    """Rows of what is no mean over examples: length against the targets, and variety, for each stratum."""
    long, clusters = long_targets(answers), clusters_of(said.examples)
    for stratum, inside in said.strata():
        chosen = np.flatnonzero(long & inside)
        if stratum and not chosen.size:
            continue
        groups = balanced_groups(clusters[chosen])
        for metric, of in (
            (WORDS_RATIO, _words_ratio),
            (DISTINCT_1, _distinct(1)),
            (DISTINCT_2, _distinct(2)),
        ):
            left = [of(answers, chosen[groups != g]) for g in range(int(groups.max(initial=-1)) + 1)]
            interval = replace(
                jackknife_interval(of(answers, chosen), np.array(left)),
                n=len(chosen),
                n_clusters=len(set(clusters[chosen])),
            )
            row = metric.row(interval, dataset=said.dataset, stratum=stratum)
            yield replace(row, null_value=of(base, chosen))


def _is_free(example: Example) -> bool:
    asked = bool(example.messages) and bool(example.target.strip())
    return asked and "schema" not in example.meta and json_value(example.target) is None


def _matches(text: str, answer: str, tolerance: float) -> float:
    number, said = number_of(answer), number_of(text)
    if number is not None and said is not None:
        return float(same_number(said, number, tolerance))
    return float(same_words(text, (answer,)))


def _words_ratio(answers: GenerationsSeen, rows: Ints) -> float:
    """Words of the answers over words of the targets, both summed."""
    expected = sum(len(words(answers.examples[i].target)) for i in rows)
    return sum(len(words(answers.texts[i])) for i in rows) / expected if expected else NAN


def _distinct(n: int) -> Callable[[GenerationsSeen, Ints], float]:
    return lambda answers, rows: distinct([answers.texts[i] for i in rows], n)
