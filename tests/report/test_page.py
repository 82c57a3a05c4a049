from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser

from sft_probe.report.browser import shorten
from sft_probe.report.page import safe_json

from .synthetic import HOSTILE

VOID = {"meta", "br", "img", "input", "link", "hr"}


class Structure(HTMLParser):
    """Collects what a strict page must not have, and checks that elements close in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.scripts: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.headings: list[int] = []
        self.ids: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        self.ids += [value or "" for name, value in attrs if name == "id"]
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "script":
            self.scripts.append(data)


def parsed(page: str) -> Structure:
    structure = Structure()
    structure.feed(page)
    assert structure.open == []
    return structure


def test_nothing_is_loaded_from_outside(page: str) -> None:
    for tag, name, value in parsed(page).attributes:
        if name in ("src", "href", "xlink:href", "action", "data", "poster", "srcset"):
            assert value.startswith(("#", "data:", "figures/", "tables/")), (tag, name, value)
    assert "@import" not in page
    assert "url(http" not in page


def test_the_policy_names_exactly_the_style_and_script_of_the_page(page: str) -> None:
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', page)
    assert policy is not None
    rules = policy.group(1).replace("&#39;", "'")
    assert rules.startswith("default-src 'none'")
    assert "unsafe" not in rules
    for element in ("style", "script"):
        contents = re.findall(rf"<{element}>(.*?)</{element}>", page, flags=re.DOTALL)
        assert len(contents) == 1
        digest = base64.b64encode(hashlib.sha256(contents[0].encode()).digest()).decode()
        assert f"{element}-src 'sha256-{digest}'" in rules


def test_no_inline_style_nor_handler(page: str) -> None:
    names = {name for _, name, _ in parsed(page).attributes}
    assert "style" not in names
    assert not {name for name in names if name.startswith("on")}


def test_hostile_answers_are_text(page: str) -> None:
    structure = parsed(page)
    assert len(structure.scripts) == 2
    assert not [tag for tag, _, value in structure.attributes if tag == "img" or "onerror" in value]
    data = json.loads(structure.scripts[0])
    said = {item["b"] for item in data["items"]}
    assert {shorten(text) for text in HOSTILE} <= said
    assert "null\u2400byte" in said
    assert "&lt;script&gt;alert(1)" in page
    assert "<script>alert" not in page
    assert "\x00" not in page


def test_embedded_json_cannot_end_its_element() -> None:
    data = ["</script>", "<!--", "&", "\u2028"]
    text = safe_json(data)
    assert not set("<>&\u2028") & set(text)
    assert json.loads(text) == data


def test_headings_descend_one_at_a_time_and_ids_are_unique(page: str) -> None:
    structure = parsed(page)
    assert structure.headings[0] == 1
    assert structure.headings.count(1) == 1
    assert all(b - a <= 1 for a, b in zip(structure.headings, structure.headings[1:], strict=False))
    assert len(structure.ids) == len(set(structure.ids))


def test_every_figure_has_words_for_those_who_cannot_see_it(page: str) -> None:
    panels = re.findall(r'<div class="panel[^"]*" role="img" aria-label="([^"]*)"', page)
    assert len(panels) > 20
    assert all(len(text) > 20 for text in panels)


def test_inputs_have_labels(page: str) -> None:
    controls = re.findall(r"<(?:select|input) id", page)
    labels = re.findall(r"<label[^>]*>[^<]+<(?:select|input) id", page)
    assert len(controls) == len(labels) == 6


def test_the_page_reads_without_scripts(page: str) -> None:
    static = re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)
    assert "Every arm learned the task" in static
    assert static.count("<table") > 10
    assert "Where does person" in static
