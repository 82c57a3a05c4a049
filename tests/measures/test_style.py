from __future__ import annotations

from math import isnan

import pytest

from sft_probe.measures.style import has_list, type_token, word_count


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
