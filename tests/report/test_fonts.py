"""Figures have a glyph for every letter of the catalogues, whatever fonts are installed."""

from __future__ import annotations

import warnings

import pytest
from matplotlib import font_manager
from matplotlib.ft2font import FT2Font

from sft_probe.report import charts
from sft_probe.report.charts import CHINESE, FONT, Panel, families, svg

from ..golden.make_font import letters

HOW = "run: python tests/golden/make_font.py DroidSansFallbackFull.ttf (its docstring says where from)"


def test_every_letter_of_the_catalogues_has_a_glyph() -> None:
    latin = FT2Font(font_manager.findfont("DejaVu Sans")).get_charmap()
    shipped = FT2Font(str(FONT)).get_charmap()
    missing = sorted(
        letter for letter in letters() if ord(letter) not in latin and ord(letter) not in shipped
    )
    assert not missing, f"chinese.ttf lacks {''.join(missing)}: {HOW}"


def test_the_shipped_font_is_small_and_comes_last() -> None:
    assert FONT.stat().st_size < 300_000
    assert families()[0] == "DejaVu Sans"
    assert families()[-1] == CHINESE


def test_without_any_installed_font_chinese_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(charts, "INSTALLED", ())
    families.cache_clear()
    told = "\u9057\u5fd8 accuracy"
    panel = Panel(title=told, draw=lambda axes: axes.set_xlabel("\u8bad\u7ec3\u6b65\u6570") and None, alt="")
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # matplotlib warns of a missing glyph
        drawn = svg(panel, "name")
    families.cache_clear()
    assert told in drawn
