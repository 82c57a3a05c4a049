from math import isnan

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sacrebleu import sentence_chrf

from sft_probe.measures.generation import chrf, distinct, ngrams, repetition, rouge

TEXTS = st.text(min_size=1, max_size=40)


def test_rouge_by_hand() -> None:
    found = rouge("The cat sat", "the cat")
    assert found == pytest.approx((0.8, 2 / 3, 0.8))
    assert rouge("sat cat the", "the cat sat").longest == pytest.approx(1 / 3)


def test_rouge_reads_other_scripts_too() -> None:
    assert rouge("高血压患者", "高血压").one == pytest.approx(2 * (3 / 5) / (8 / 5))
    assert rouge("Zürich", "Zürich") == (1, 0, 1)  # one word has no pair
    assert rouge("", "高") == (0, 0, 0)


@given(TEXTS, TEXTS)
def test_chrf_is_sacrebleus(said: str, target: str) -> None:
    assert chrf(said, target) == pytest.approx(min(1.0, sentence_chrf(said, [target]).score / 100))
    assert 0 <= chrf(said, target) <= 1


def test_the_same_text_scores_one() -> None:
    text = "Floods closed two bridges in Oslo."
    assert chrf(text, text) == 1
    assert rouge(text, text) == (1, 1, 1)


def test_repetition_by_hand() -> None:
    assert repetition("one two three four one two three four") == pytest.approx(1 / 5)
    assert repetition("so " * 10) == pytest.approx(6 / 7)
    assert isnan(repetition("one two three four"))


def test_distinct_counts_over_all_texts() -> None:
    assert distinct(["a cat", "a dog"], 1) == 3 / 4
    assert distinct(["a cat", "a dog"], 2) == 1
    assert isnan(distinct(["", "cat"], 2))


@given(st.lists(TEXTS, max_size=5), st.integers(1, 3))
def test_more_of_the_same_is_less_distinct(texts: list[str], n: int) -> None:
    once, twice = distinct(texts, n), distinct(texts * 2, n)
    assert isnan(once) if isnan(twice) else twice == pytest.approx(once / 2)


def test_ngrams_are_runs_of_words() -> None:
    assert ngrams("To be, or not", 2) == [("to", "be"), ("be", "or"), ("or", "not")]
    assert ngrams("be", 2) == []
