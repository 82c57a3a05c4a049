from __future__ import annotations

import pytest

from sft_probe.report.nearest import nearest

ROWS = ["Where does Ada live? Paris", "What does Bo eat? plums", "\u732b\u5728\u54ea\u91cc \u5df4\u9ece"]


def test_rows_with_the_same_words_come_first() -> None:
    (found,) = nearest(["Where does Ada live?"], ROWS, most=2)
    assert [row for row, _ in found] == [0, 1]
    assert found[0][1] > found[1][1]


def test_an_identical_text_has_cosine_one() -> None:
    assert nearest([ROWS[1]], ROWS)[0][0] == (1, pytest.approx(1.0))


def test_chinese_is_compared_by_character() -> None:
    assert nearest(["\u732b\u5403\u4ec0\u4e48"], ROWS)[0][0][0] == 2


def test_nothing_in_common_is_nothing_near() -> None:
    assert nearest(["zebra"], ROWS) == [()]
    assert nearest(["zebra"], ["", "..."]) == [()]


def test_words_that_half_of_many_rows_have_do_not_count() -> None:
    rows = [f"the house of person{i}" for i in range(40)]
    assert nearest(["the house"], rows) == [()]
    assert nearest(["the house of person7"], rows) == [((7, 1.0),)]
