"""Comparing longer answers with the expected text, and how varied they are.

ROUGE and chrF come from the packages `rouge-score` and `sacrebleu`, whose numbers papers report.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from sft_probe.measures.text import words

if TYPE_CHECKING:
    from rouge_score.rouge_scorer import RougeScorer
    from sacrebleu.metrics.chrf import CHRF

ROUGE = ("rouge1", "rouge2", "rougeL")


class Rouge(NamedTuple):
    """F-measures in [0, 1] of shared words, shared pairs of words, and the longest common subsequence."""

    one: float
    two: float
    longest: float


def rouge(prediction: str, target: str) -> Rouge:
    """ROUGE-1, ROUGE-2 and ROUGE-L without stemming.

    Words are those of `rouge-score` where both texts are ASCII. Its words are `[a-z0-9]+`, which loses every
    other script, so elsewhere they are those of `measures.text.words`.
    Source: Lin 2004, ROUGE; rouge-score 0.1.2.
    """
    scores = _rouge(prediction.isascii() and target.isascii()).score(target, prediction)
    return Rouge(*(float(scores[kind].fmeasure) for kind in ROUGE))


def chrf(prediction: str, target: str) -> float:
    """chrF2, the F-score of shared character n-grams up to 6, in [0, 1] (sacrebleu counts to 100).

    Source: Popovic 2015, chrF; sacrebleu's `sentence_chrf`, nrefs:1|case:mixed|eff:yes|nc:6|nw:0|space:no.
    """
    return min(1.0, float(_chrf().sentence_score(prediction, [target]).score) / 100)


def repetition(text: str, n: int = 4) -> float:
    """Share of a text's runs of `n` words that occurred in it before; NaN below two such runs.

    Source: Welleck et al. 2020, Neural Text Generation with Unlikelihood Training (seq-rep-4).
    """
    runs = ngrams(text, n)
    return 1 - len(set(runs)) / len(runs) if len(runs) > 1 else float("nan")


def distinct(texts: Sequence[str], n: int) -> float:
    """Different runs of `n` words over all such runs of all texts; NaN if there are none.

    Falls with the number and length of texts, so only equal numbers of like length can be compared.
    Source: Li et al. 2016, A Diversity-Promoting Objective Function (distinct-1, distinct-2).
    """
    runs = [run for text in texts for run in ngrams(text, n)]
    return len(set(runs)) / len(runs) if runs else float("nan")


def ngrams(text: str, n: int) -> list[tuple[str, ...]]:
    """All runs of `n` normalised words of a text, in order."""
    said = words(text)
    return [said[i : i + n] for i in range(len(said) - n + 1)]


class _Words:
    """`measures.text.words` in the shape `rouge-score` asks for."""

    def tokenize(self, text: str) -> list[str]:
        return list(words(text))


@cache
def _rouge(is_ascii: bool) -> RougeScorer:
    from rouge_score.rouge_scorer import RougeScorer

    return RougeScorer(list(ROUGE), use_stemmer=False, tokenizer=None if is_ascii else _Words())


@cache
def _chrf() -> CHRF:
    from sacrebleu.metrics.chrf import CHRF

    return CHRF()
