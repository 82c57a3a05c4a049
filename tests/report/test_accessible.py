"""What readers of a page need, asked of the page in Chromium: contrast, width, keyboard, downloads, paper."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from sft_probe.report.build import ReportPaths
from sft_probe.report.comparison import compare
from sft_probe.report.comparison_page import comparison_page
from sft_probe.report.live import index_page

from .conftest import BROWSER, Opened

pytestmark = pytest.mark.slow
Ask = Callable[..., Any]
DARK = "--blink-settings=preferredColorScheme=0"
PAGES = ("report", "compare", "index")


@pytest.fixture(scope="module")
def pages(report: ReportPaths, study: Path) -> dict[str, str]:
    runs = (str(study / "runs" / name) for name in ("full_high-seed0", "lora-seed0"))
    return {
        "report": report.html.read_text(encoding="utf-8"),
        "compare": comparison_page(compare(*runs)),
        "index": index_page(study),
    }


@pytest.fixture
def ask(pages: dict[str, str], browse: Callable[..., Opened], tmp_path: Path) -> Ask:
    """Puts a question of the folder `asked` to a page in a frame of a width, and gives the answer."""

    def asked(name: str, question: str, *options: str, width: int = 1200) -> Any:
        page = re.sub(r"<meta http-equiv=.Content-Security-Policy.[^>]*>", "", pages[name])
        function = (Path(__file__).parent / "asked" / f"{question}.js").read_text(encoding="utf-8")
        told = f"parent.postMessage(JSON.stringify(await (async () => {{{function}}})()), '*')"
        script = f"<script>addEventListener('load', async () => {told})</script></body>"
        (tmp_path / "page.html").write_text(page.replace("</body>", script), encoding="utf-8")
        listen = "({ data }) => { document.querySelector('pre').textContent = data; }"
        (tmp_path / "frame.html").write_text(
            f"<!doctype html><iframe src=page.html width={width} height=900 style='border: 0'></iframe>"
            f"<pre></pre><script>addEventListener('message', {listen})</script>"
        )
        elements, _ = browse((tmp_path / "frame.html").as_uri(), "--virtual-time-budget=20000", *options)
        answer = re.search(r"<pre>(.+?)</pre>", elements, flags=re.DOTALL)
        assert answer is not None
        return json.loads(unescape(answer.group(1)))

    return asked


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_every_text_stands_out_from_what_is_behind_it(ask: Ask, name: str, scheme: str) -> None:
    found = ask(name, "contrast", *([DARK] if scheme == "dark" else []))
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


def test_a_page_without_its_folder_gives_figures_and_tables(ask: Ask, report: ReportPaths) -> None:
    found = ask("report", "downloads")
    (svg,) = (name for name in found if name.endswith(".svg"))
    png = found[svg.replace(".svg", ".png")]
    assert png["text"] == [137, 80, 78, 71, 13, 10, 26, 10]
    assert png["size"] > 5000
    assert found[svg]["text"].startswith("<svg ")
    kept, written = found["matrix.csv"]["text"], (report.tables / "matrix.csv").read_text(encoding="utf-8")
    assert kept.splitlines()[0] == written.splitlines()[0]
    assert len(kept.splitlines()) == len(written.splitlines())
    assert kept.splitlines()[1].split(",")[:3] == written.splitlines()[1].split(",")[:3]


def test_it_can_be_printed(report: ReportPaths, browse: Callable[..., Opened], tmp_path: Path) -> None:
    paper = tmp_path / "page.pdf"
    options = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}"]
    subprocess.run(
        [str(BROWSER), *options, f"--print-to-pdf={paper}", report.html.as_uri()],
        capture_output=True,
        timeout=180,
        check=True,
    )
    content = paper.read_bytes()
    assert content.startswith(b"%PDF")
    assert len(re.findall(rb"/Type\s*/Page\b", content)) > 5
