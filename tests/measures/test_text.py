import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from sft_probe.measures.text import contains, exact_match, token_f1, tokens

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
