from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from sft_probe.report.build import ReportPaths, build_report
from sft_probe.report.findings import Findings, find
from sft_probe.report.material import Material, load

from .synthetic import write_study

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
PATIENCE = 120_000.0  # milliseconds for one act of the browser, on a machine that does other things too


@pytest.fixture(scope="session")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two arms that differ in their learning rate only, two seeds, watched at three steps."""
    return write_study(tmp_path_factory.mktemp("study"), arms=("full", "full_high", "lora"), steps=(0, 3, 30))


@pytest.fixture(scope="session")
def material(study: Path) -> Material:
    return load(study)


@pytest.fixture(scope="session")
def found(material: Material) -> Findings:
    return find(material)


@pytest.fixture(scope="session")
def report(study: Path) -> ReportPaths:
    return build_report(study)


@pytest.fixture(scope="session")
def page(report: ReportPaths) -> str:
    return report.html.read_text(encoding="utf-8")


@dataclass(frozen=True)
class Opened:
    """A page in Chromium, with what its console said and what it asked the network for."""

    page: Page
    console: list[str]
    requests: list[str]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """One browser for the tests of a file: Playwright's event loop would disturb that of other files."""
    if BROWSER is None:
        if os.environ.get("SFT_PROBE_CI"):
            pytest.fail("CI must have Chromium")
        pytest.skip("no Chromium here")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"], timeout=PATIENCE)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def opened(chromium: Browser) -> Iterator[Callable[..., Opened]]:
    """Opens an address in a context of its own; options are those of Playwright's `new_context`."""
    contexts: list[BrowserContext] = []

    def at(address: str, **options: Any) -> Opened:
        contexts.append(context := chromium.new_context(**options))
        context.set_default_timeout(PATIENCE)
        seen = Opened(context.new_page(), [], [])
        seen.page.on("console", lambda message: seen.console.append(message.text))
        seen.page.on("pageerror", lambda error: seen.console.append(str(error)))
        seen.page.on("request", lambda request: seen.requests.append(request.url))
        seen.page.goto(address)
        return seen

    yield at
    for context in contexts:
        context.close()
