from __future__ import annotations

from math import isnan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sft_probe.measures.style import has_list, length_distance, type_token, word_count

lengths = st.lists(st.integers(0, 9).map(float), min_size=1, max_size=12)


def test_by_hand() -> None:
    assert word_count("It's 3.5 km, or so.") == 5
    assert type_token("a b a b") == 0.5
    assert type_token(" ".join(str(i) for i in range(50)) + " 1" * 50) == 1  # only the first fifty count
    assert isnan(type_token(""))


@pytest.mark.parametrize(
    ("text", "listed"),
    [
        ("- one\n- two", True),
        ("First:\n1. one\n2) two", True),
        ("# Title\ntext\n## Part", True),
        ("- one", False),
        ("5 - 3 is 2\nand 1.5 is more", False),
    ],
)
def test_lists(text: str, listed: bool) -> None:
    assert has_list(text) is listed


@given(lengths, lengths)
def test_distance_is_symmetric_and_bounded(one: list[float], other: list[float]) -> None:
    assert length_distance(one, other) == length_distance(other, one)
    assert 0 <= length_distance(one, other) <= 1
    assert length_distance(one, one) == 0


def test_distance_of_nothing() -> None:
    assert isnan(length_distance([], [1.0]))
    assert length_distance([1.0, 2.0], [3.0]) == 1
