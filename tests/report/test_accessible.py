"""What readers of a page need, asked of the page in Chromium: contrast, width, keyboard, downloads, paper."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sft_probe.report.build import ReportPaths
from sft_probe.report.comparison import compare
from sft_probe.report.comparison_page import comparison_page
from sft_probe.report.live import index_page

from .conftest import Opened

pytestmark = pytest.mark.slow
Ask = Callable[..., Any]
ASKED = Path(__file__).parent / "asked"
PAGES = ("report", "compare", "index")


@pytest.fixture(scope="module")
def pages(report: ReportPaths, study: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The kinds of page, each alone in a folder."""
    runs = (str(study / "runs" / name) for name in ("full_high-seed0", "lora-seed0"))
    folder = tmp_path_factory.mktemp("pages")
    texts = {
        "report": report.html.read_text(encoding="utf-8"),
        "compare": comparison_page(compare(*runs)),
        "index": index_page(study),
    }
    for name, text in texts.items():
        (folder / f"{name}.html").write_text(text, encoding="utf-8")
    return {name: folder / f"{name}.html" for name in texts}


@pytest.fixture
def ask(pages: dict[str, Path], opened: Callable[..., Opened]) -> Ask:
    """Puts a question of the folder `asked` to a page of some width, and gives the answer."""

    def asked(name: str, question: str, width: int = 1200, **options: Any) -> Any:
        viewport = {"width": width, "height": 900}
        seen = opened(pages[name].as_uri(), viewport=viewport, bypass_csp=True, **options)
        return seen.page.evaluate(f"() => {{{(ASKED / f'{question}.js').read_text(encoding='utf-8')}}}")

    return asked


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_every_text_stands_out_from_what_is_behind_it(ask: Ask, name: str, scheme: str) -> None:
    found = ask(name, "contrast", color_scheme=scheme)
    assert found["dark"] is (scheme == "dark")
    assert found["seen"] > 5
    assert found["poor"] == []


@pytest.mark.parametrize("name", PAGES)
def test_a_phone_needs_no_sideways_scrolling(ask: Ask, name: str) -> None:
    found = ask(name, "width", width=390)
    assert found["window"] == 390
    assert found["page"] <= 390
    assert found["wide"] == []


@pytest.mark.parametrize("name", PAGES)
def test_everything_can_be_reached_and_named_by_keyboard(ask: Ask, name: str) -> None:
    found = ask(name, "keyboard")
    assert found["stops"] > 1
    assert found["first"] == ("skip" if name != "index" else "name")
    assert (found["positive"], found["unreachable"], found["hollow"]) == (0, 0, 0)
    assert found["unnamed"] == []


def downloaded(seen: Opened, selector: str) -> tuple[str, bytes]:
    """Name and content of the file that a click on the first such link gives."""
    with seen.page.expect_download() as download:
        seen.page.locator(selector).first.dispatch_event("click")
    return download.value.suggested_filename, download.value.path().read_bytes()


def test_a_page_without_its_folder_gives_figures_and_tables(
    pages: dict[str, Path], opened: Callable[..., Opened], report: ReportPaths
) -> None:
    seen = opened(pages["report"].as_uri(), accept_downloads=True)
    name, svg = downloaded(seen, "a[data-svg]")
    assert name.endswith(".svg")
    assert svg.startswith(b"<svg ")
    same, png = downloaded(seen, "a[data-png]")
    assert same == name.replace(".svg", ".png")
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    assert len(png) > 5000
    name, table = downloaded(seen, "a[data-csv=matrix]")
    assert name == "matrix.csv"
    kept, written = table.decode().splitlines(), (report.tables / name).read_text("utf-8").splitlines()
    assert kept[0] == written[0]
    assert len(kept) == len(written)
    assert kept[1].split(",")[:3] == written[1].split(",")[:3]
    assert seen.console == []


def test_a_page_needs_no_script(pages: dict[str, Path], opened: Callable[..., Opened]) -> None:
    seen = opened(pages["report"].as_uri(), java_script_enabled=False)
    assert seen.page.locator("main table").first.is_visible()
    assert seen.page.locator("main figure svg").first.is_visible()


def test_it_can_be_printed(report: ReportPaths, opened: Callable[..., Opened]) -> None:
    content = opened(report.html.as_uri()).page.pdf()
    assert content.startswith(b"%PDF")
    assert len(re.findall(rb"/Type\s*/Page\b", content)) > 5


def test_paper_shows_every_column(pages: dict[str, Path], opened: Callable[..., Opened]) -> None:
    page = opened(pages["report"].as_uri(), viewport={"width": 703, "height": 1017}).page  # A4 in its margins
    page.emulate_media(media="print")
    widths = page.locator("table").evaluate_all(
        "(all) => all.map((table) => table.getBoundingClientRect().right)"
    )
    assert len(widths) > 5
    assert 300 < max(widths) <= 703
    assert page.locator("details.numbers table").first.is_visible()
