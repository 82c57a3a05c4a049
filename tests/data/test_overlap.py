from math import isnan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sft_probe.data.examples import Dataset, Example, Message
from sft_probe.data.overlap import jaccard, most_similar, overlaps

STORY = "the old keeper of the tower by the sea lit the lamp every single night before supper"


def row(name: str, question: str, answer: str = "yes") -> Example:
    return Example(id=name, messages=(Message("user", question),), target=answer)


def data(name: str, *questions: str) -> Dataset:
    return Dataset(name, tuple(row(f"{name}{i}", question) for i, question in enumerate(questions)))


TRAIN = data("train", STORY, "What is the colour of the boat in the harbour today?")


def test_letter_for_letter_and_but_for_case_and_punctuation() -> None:
    same, loud, other = overlaps(TRAIN, data("test", STORY, f"{STORY.upper()}!", "Who lit the lamp?"))
    assert (same.exact, same.normalised, same.similarity, same.row) == (True, True, 1.0, "train0")
    assert (loud.exact, loud.normalised, loud.similarity) == (False, True, 1.0)
    assert (other.exact, other.normalised, other.similarity, other.row) == (False, False, 0.0, "")
    assert isnan(other.grams)
    assert [o.contaminated for o in (same, loud, other)] == [True, True, False]


def test_another_answer_is_not_the_same_row() -> None:
    (found,) = overlaps(TRAIN, Dataset("test", (row("a", STORY, "no"),)))
    assert (found.exact, found.normalised) == (False, True)


def test_share_of_runs_of_eight_words_by_hand() -> None:
    taken = " ".join(STORY.split()[:10])  # 3 of the runs of 8 words
    (found,) = overlaps(TRAIN, data("test", f"{taken} or so"))  # 12 words, 5 runs
    assert found.grams == pytest.approx(3 / 5)
    assert not found.contaminated


def test_runs_are_found_in_answers_too() -> None:
    train = Dataset("train", (row("a", "Tell me a story.", STORY),))
    (found,) = overlaps(train, data("test", STORY))
    assert found.grams == 1
    assert found.contaminated
    assert not found.normalised


def test_one_changed_word_at_the_end_is_a_near_duplicate() -> None:
    words = STORY.split()
    (found,) = overlaps(TRAIN, data("test", " ".join([*words[:-1], "breakfast"])))
    assert found.similarity == pytest.approx((len(words) - 3) / (len(words) - 1))  # 14 of 16 shingles
    assert found.row == "train0"
    assert not found.normalised


def test_texts_without_words_are_alike_and_nothing_breaks() -> None:
    blank, hi = row("a", "", ""), row("b", "Hi")
    empty, short = overlaps(Dataset("train", (blank, hi)), Dataset("test", (blank, row("c", "hi!"))))
    assert (empty.similarity, short.similarity) == (0.0, 1.0)
    assert isnan(empty.grams)


@given(st.lists(st.lists(st.sampled_from("abcdef"), min_size=1, max_size=30).map(tuple), max_size=12))
def test_every_text_is_most_similar_to_itself(texts: list[tuple[str, ...]]) -> None:
    for text, (index, similarity) in zip(texts, most_similar(texts, texts), strict=True):
        assert similarity == 1.0
        assert set(zip(texts[index], texts[index][1:], texts[index][2:], strict=False)) == set(
            zip(text, text[1:], text[2:], strict=False)
        )


@given(st.sets(st.integers(0, 20)), st.sets(st.integers(0, 20)))
def test_jaccard_is_symmetric_and_bounded(a: set[int], b: set[int]) -> None:
    one, two = (frozenset((str(i),) for i in part) for part in (a, b))
    if one or two:
        assert 0 <= jaccard(one, two) == jaccard(two, one) <= 1
        assert (jaccard(one, two) == 1) == (a == b)
