"""The pages as a browser sees them: their scripts run under their own policy, and nothing is refused."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from html import escape
from pathlib import Path

import pytest

from sft_probe.report.build import ReportPaths
from sft_probe.report.comparison import compare
from sft_probe.report.comparison_page import comparison_page
from sft_probe.report.serving import report_server
from sft_probe.store.lock import locked
from sft_probe.store.runs import RunStore

from .conftest import Opened
from .synthetic import ENVIRONMENT, HOSTILE, Arm, config


@pytest.fixture(scope="module")
def opened(report: ReportPaths, browse: Callable[[str], Opened]) -> Opened:
    return browse(report.html.as_uri())


@pytest.fixture(scope="module")
def compared(
    study: Path, browse: Callable[[str], Opened], tmp_path_factory: pytest.TempPathFactory
) -> Opened:
    page = tmp_path_factory.mktemp("compared") / "page.html"
    runs = (str(study / "runs" / name) for name in ("full_high-seed0", "lora-seed0"))
    page.write_text(comparison_page(compare(*runs)), encoding="utf-8")
    return browse(page.as_uri())


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a server of a folder with one study that is being written to."""
    root = tmp_path_factory.mktemp("shelf")
    begun = root / "begun"
    run = RunStore(begun).open_run("full-seed0", config=config("full", 0), environment=ENVIRONMENT)
    for step in (0, 1, 3):
        run.append(step, "task_alignment", Arm("full", 0).task_alignment(step))
    (begun / "study.yaml").write_text(f'name: "{HOSTILE[0]}"\n')
    with locked(begun), report_server(root, 0) as serving:
        thread = threading.Thread(target=serving.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{serving.server_address[1]}"
        serving.shutdown()
        thread.join()


def complaints(log: str) -> list[str]:
    return [line for line in log.splitlines() if "CONSOLE" in line]


def test_the_console_stays_silent(opened: Opened) -> None:
    _, log = opened
    assert complaints(log) == []


def test_the_script_made_tables_sortable_and_filled_the_browser(opened: Opened) -> None:
    elements, _ = opened
    assert re.search(r'<th scope="col"[^>]*><button type="button">', elements)
    assert elements.count("<select") >= 3


def test_answers_of_a_report_are_text(opened: Opened) -> None:
    elements, _ = opened
    shown, _, _ = elements.partition('<script type="application/json"')
    assert shown.count('<article class="item') == 20
    assert [text for text in HOSTILE if escape(text, quote=False) in shown]
    assert "<script>alert" not in elements
    assert '<span class="k' in shown
    assert 'href="#chart-drift_map"' in shown
    assert 'class="near"' in shown


def test_a_comparison_shows_hostile_answers_as_text(compared: Opened) -> None:
    elements, log = compared
    assert complaints(log) == []
    shown, _, _ = elements.partition('<script type="application/json"')
    assert shown.count('<article class="item') == 20
    assert [text for text in HOSTILE if escape(text, quote=False) in shown]
    assert "<script>alert" not in elements


@pytest.mark.parametrize("path", ["/", "/?study=begun"])
def test_live_pages_run_under_their_policy(server: str, path: str, browse: Callable[[str], Opened]) -> None:
    elements, log = browse(f"{server}{path}")
    assert complaints(log) == []
    assert 'data-refresh="5"' in elements
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in elements
    assert "running" in elements
    assert '<button type="button" id="theme" aria-label' in elements


def test_a_chinese_page_brings_its_letters(
    study: Path, browse: Callable[[str], Opened], tmp_path: Path
) -> None:
    runs = (str(study / "runs" / name) for name in ("full_high-seed0", "lora-seed0"))
    page = comparison_page(compare(*runs), lang="zh")
    assert "font-src data:;" in page
    (tmp_path / "page.html").write_text(page, encoding="utf-8")
    _, log = browse((tmp_path / "page.html").as_uri())
    assert complaints(log) == []
