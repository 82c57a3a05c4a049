"""The page of a certificate made up for it: what it must show, and that nothing is loaded or run from it."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from sft_probe.calibration.certificate import read_certificate
from sft_probe.calibration.page import heat_map, render, render_markdown, write_outputs
from sft_probe.calibration.sentences import missed_sentences, words_in
from sft_probe.calibration.tables import tables
from sft_probe.calibration.verdicts import certify

from .sample import evidence, rich

CERTIFICATE = certify(rich())
VOID = {"meta", "path", "use", "rect", "line", "br", "input"}


class Balanced(HTMLParser):
    """Fails on a tag that is closed out of order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_the_page_is_whole_and_says_first_what_was_missed(lang: str) -> None:
    words = words_in(lang)
    page = render(CERTIFICATE, words)
    parser = Balanced()
    parser.feed(page)
    assert parser.open == []
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert "style=" not in page
    first = page[: page.index('class="marks"')]
    assert words("page.missed") in first
    assert len(re.findall(r"<li>", first[first.index('class="missed"') :])) == len(CERTIFICATE.missed)
    for table in tables(CERTIFICATE, words):
        assert table.caption in page


def test_nothing_missed_is_said_too() -> None:
    page = render(certify(evidence()), words_in("en"))
    assert "Every goal was met." in page


def test_the_heat_map_tells_reactions_apart() -> None:
    looks = {
        (probe, place): shade.look if shade else None
        for probe, row in heat_map(CERTIFICATE, words_in("en"))
        for place, shade in enumerate(row)
    }
    assert looks["shortcut reliance", 0] == "target"
    assert looks["shortcut reliance", 1] == "inside"
    assert looks["annotation inheritance", 0] == "explained"
    assert looks["representation drift", 0] == "red"
    assert looks["representation drift", 1] == "unknown"


def test_a_hostile_name_stays_text() -> None:
    named = rich().model_copy(update={"notes": ("<script>alert(1)</script>",)})
    certificate = certify(named)
    assert "<script>alert" not in render(certificate, words_in("en"))
    assert "<script>alert" not in render_markdown(certificate, words_in("en"))


def test_three_files_are_written(tmp_path: Path) -> None:
    page = write_outputs(CERTIFICATE, tmp_path)
    assert page == tmp_path / "certificate.html"
    assert {path.name for path in tmp_path.iterdir()} == {
        "certificate.html",
        "certificate.md",
        "certificate.json",
    }
    assert read_certificate(tmp_path / "certificate.json") == CERTIFICATE
    said = (tmp_path / "certificate.md").read_text(encoding="utf-8")
    assert said.count("\n- ") >= len(missed_sentences(CERTIFICATE, words_in("en")))
