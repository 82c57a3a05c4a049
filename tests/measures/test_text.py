import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from sft_probe.measures.text import (
    contains,
    exact_match,
    last_number,
    number_of,
    only_label_named,
    same_number,
    same_words,
    token_f1,
    tokens,
)

TEXTS = st.text(max_size=40)
WORDS = st.text("aethn57.,-'{ \n高血Üß", max_size=15)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The U.S. Army's 1,200 men.", ("us", "armys", "1200", "men")),
        ('{"key":1, "b":-2.5}', ("key", "1", "b", "-2.5")),
        ("高血压 HTN的患者", ("高", "血", "压", "htn", "的", "患", "者")),
        ("\uff21\uff22\uff11", ("ab1",)),
        ("Straße", ("strasse",)),
        ("well-known, 1990-95", ("well", "known", "1990", "95")),
        ("A.", ("a",)),
        ("A b", ("b",)),
        ("+", ("+",)),
        ("हिन्दी भाषा", ("हिन्दी", "भाषा")),
        (" \n ", ()),
    ],
)
def test_tokens(text: str, expected: tuple[str, ...]) -> None:
    assert tokens(text) == expected


@given(TEXTS)
def test_only_blank_texts_have_no_tokens(text: str) -> None:
    assert bool(tokens(text)) == bool(text.strip())


@given(TEXTS, TEXTS)
def test_f1_is_a_symmetric_share(a: str, b: str) -> None:
    assert 0 <= token_f1(a, b) <= 1
    assert token_f1(a, b) == token_f1(b, a)
    assert token_f1(a, a) == 1


@given(WORDS, WORDS, WORDS)
def test_a_text_stands_within_its_surroundings(before: str, text: str, after: str) -> None:
    assume(any(c.isalnum() for c in text))
    assert contains(f"{before} {text} {after}", text)


def test_f1_of_a_partial_answer() -> None:
    assert token_f1("Paris, in France", "Paris") == pytest.approx(2 * (1 / 3) / (4 / 3))
    assert token_f1("", "Paris") == 0
    assert token_f1("", "") == 1
    assert token_f1("the the cat", "cat") == 1
    assert token_f1("dog dog", "dog") == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("said", "target", "found"),
    [
        ("It is Paris, of course.", "paris", True),
        ("concatenate", "cat", False),
        ("诊断为高血压。", "高血压", True),
        ("血压高", "高血压", False),
        ("35", "3.5", False),
        ("It is -5 degrees", "5", False),
        ("New old York", "New York", False),
        ("He lives in Hague", "The Hague", True),
        ("The answer is A.", "A", True),
        ("anything", "", False),
        ("", "", True),
    ],
)
def test_contains_whole_words_in_order(said: str, target: str, found: bool) -> None:
    assert contains(said, target) is found


def test_exact_match_forgives_outer_white_space_only() -> None:
    assert exact_match(" Paris\n", "Paris")
    assert not exact_match("paris", "Paris")
    assert not exact_match("Paris.", "Paris")


def test_same_words_as_one_of_the_accepted_answers() -> None:
    assert same_words("The Beatles!", ("Fab Four", "beatles"))
    assert not same_words("It is the Beatles", ("beatles",))


@pytest.mark.parametrize(
    ("said", "named"),
    [
        ("It is Positive.", "positive"),
        ("not positive", "not positive"),
        ("positive or negative", ""),
        ("good", ""),
    ],
)
def test_the_label_an_answer_names(said: str, named: str) -> None:
    assert only_label_named(said, ("positive", "negative", "not positive")) == named


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("$1,200.50", 1200.5),
        (" -3 ", -3.0),
        ("12%.", 12.0),
        ("12 apples", None),
        ("She has 2 * 4 = <<2*4=8>>8 left.\n#### 8", 8.0),
        ("1e3", 1000.0),
        ("", None),
    ],
)
def test_texts_that_are_a_number(text: str, number: float | None) -> None:
    assert number_of(text) == number


def test_the_last_number_of_an_answer() -> None:
    assert last_number("2 cats and 1,000 dogs.") == 1000
    assert last_number("It is 5-3 = 2") == 2
    assert last_number("the 3rd of B12") == 3
    assert last_number("none") is None


def test_numbers_are_equal_up_to_a_tolerance() -> None:
    assert same_number(100.4, 100, 0.01)
    assert not same_number(102, 100, 0.01)
    assert same_number(1e-9, 0, 1e-6)
    assert not same_number(None, 0, 1)
