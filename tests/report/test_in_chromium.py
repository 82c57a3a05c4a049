"""The page as a browser sees it: its script runs under its own policy, and nothing is refused."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from sft_probe.report.build import ReportPaths

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture(scope="module")
def opened(report: ReportPaths, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """The page's elements after its script has run, and what the browser logged."""
    if BROWSER is None:
        if os.environ.get("SFT_PROBE_CI"):
            pytest.fail("CI must have Chromium")
        pytest.skip("no Chromium here")
    profile: Path = tmp_path_factory.mktemp("profile")
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr"]
    options += [f"--user-data-dir={profile}", "--virtual-time-budget=5000", "--dump-dom"]
    done = subprocess.run(
        [BROWSER, *options, report.html.as_uri()], capture_output=True, text=True, timeout=180, check=True
    )
    return done.stdout, done.stderr


def test_the_console_stays_silent(opened: tuple[str, str]) -> None:
    _, log = opened
    complaints = [line for line in log.splitlines() if "CONSOLE" in line]
    assert complaints == []


def test_the_script_made_tables_sortable_and_filled_the_browser(opened: tuple[str, str]) -> None:
    elements, _ = opened
    assert '<th scope="col"><button type="button">' in elements
    assert elements.count("<select") >= 3
