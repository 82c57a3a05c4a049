from __future__ import annotations

from sft_probe.report.wrapping import wide, wrapped


def test_latin_breaks_at_spaces() -> None:
    assert wrapped("one two three", 8) == ["one two", "three"]
    assert wrapped("unbreakable", 4) == ["unbreakable"]
    assert wrapped("", 4) == [""]


def test_chinese_breaks_between_characters_but_not_before_a_stop() -> None:
    assert wide("\u9057\u5fd8 ab") == 7
    assert wrapped("\u9057\u5fd8\u9057\u5fd8", 4) == ["\u9057\u5fd8", "\u9057\u5fd8"]
    assert wrapped("\u9057\u5fd8\u3002", 4) == ["\u9057", "\u5fd8\u3002"]
