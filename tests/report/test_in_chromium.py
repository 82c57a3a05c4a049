"""The pages as a browser sees them: their scripts run under their own policy, and nothing is refused."""

from __future__ import annotations

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
def seen(report: ReportPaths, opened: Callable[..., Opened]) -> Opened:
    return opened(report.html.as_uri())


@pytest.fixture(scope="module")
def compared(study: Path, opened: Callable[..., Opened], tmp_path_factory: pytest.TempPathFactory) -> Opened:
    page = tmp_path_factory.mktemp("compared") / "page.html"
    runs = (str(study / "runs" / name) for name in ("full_high-seed0", "lora-seed0"))
    page.write_text(comparison_page(compare(*runs)), encoding="utf-8")
    return opened(page.as_uri())


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


def outside(seen: Opened) -> list[str]:
    """What was asked of other machines."""
    return [
        url for url in seen.requests if not url.startswith(("file:", "data:", "blob:", "http://127.0.0.1:"))
    ]


def test_the_console_stays_silent_and_nothing_is_fetched(seen: Opened) -> None:
    assert seen.console == []
    assert outside(seen) == []
    assert len(seen.requests) >= 1


def test_the_script_made_tables_sortable_and_filled_the_browser(seen: Opened) -> None:
    assert seen.page.locator("th[scope=col] > button[type=button]").count() > 5
    assert seen.page.locator("select").count() >= 3


def test_a_click_on_a_heading_sorts_its_table(seen: Opened) -> None:
    heading = seen.page.locator("th[scope=col] > button[type=button]").first
    heading.dispatch_event("click")
    assert seen.page.locator("th[aria-sort=ascending], th[aria-sort=descending]").count() == 1


def test_the_filters_of_items_show_what_was_asked_for(
    opened: Callable[..., Opened], report: ReportPaths
) -> None:
    page = opened(report.html.as_uri()).page
    everything = page.locator("#found").inner_text()
    page.locator("#f-c").select_option("lost")
    assert page.locator("#found").inner_text() != everything
    assert page.locator("article.item").count() > 0
    assert page.locator("article.item:not(.lost)").count() == 0
    page.locator("#f-q").fill("no item says this")
    page.locator("article.item").first.wait_for(state="detached")


def shown_as_text(seen: Opened) -> None:
    shown, _, _ = seen.page.content().partition('<script type="application/json"')
    assert shown.count('<article class="item') == 20
    assert [text for text in HOSTILE if escape(text, quote=False) in shown]
    assert "<script>alert" not in shown


def test_answers_of_a_report_are_text(seen: Opened) -> None:
    shown_as_text(seen)
    for selector in ("span[class^=k]", '[href="#chart-drift_map"]', ".near"):
        assert seen.page.locator(f"article.item {selector}").count() > 0


def test_a_comparison_shows_hostile_answers_as_text(compared: Opened) -> None:
    assert compared.console == []
    assert outside(compared) == []
    shown_as_text(compared)


@pytest.mark.parametrize("path", ["/", "/?study=begun"])
def test_live_pages_run_under_their_policy(server: str, path: str, opened: Callable[..., Opened]) -> None:
    seen = opened(f"{server}{path}")
    assert seen.console == []
    assert outside(seen) == []
    assert seen.page.locator("[data-refresh='5']").count() == 1
    assert "<script>alert(1)</script>" in seen.page.locator("body").inner_text()
    assert "running" in seen.page.locator("body").inner_text()
    assert seen.page.locator("button#theme[aria-label]").count() == 1


def test_a_chinese_page_brings_its_letters(
    study: Path, opened: Callable[..., Opened], tmp_path: Path
) -> None:
    runs = (str(study / "runs" / name) for name in ("full_high-seed0", "lora-seed0"))
    text = comparison_page(compare(*runs), lang="zh")
    assert "font-src data:;" in text
    (tmp_path / "page.html").write_text(text, encoding="utf-8")
    seen = opened((tmp_path / "page.html").as_uri())
    assert seen.console == []
    assert seen.page.evaluate("document.fonts.ready.then((fonts) => [...fonts].length)") >= 1
