from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from sft_probe.report.build import ReportPaths, build_report
from sft_probe.report.findings import Findings, find
from sft_probe.report.material import Material, load

from .synthetic import write_study

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
Opened = tuple[str, str]


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


@pytest.fixture(scope="session")
def browse(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Opened]:
    """Opens an address; gives the page's elements after its script has run, and what the browser logged."""
    if BROWSER is None:
        if os.environ.get("SFT_PROBE_CI"):
            pytest.fail("CI must have Chromium")
        pytest.skip("no Chromium here")

    def opened(address: str, *more: str) -> Opened:
        profile: Path = tmp_path_factory.mktemp("profile")
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--dump-dom"]
        options += [f"--user-data-dir={profile}", "--virtual-time-budget=5000", *more]
        options += ["--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"]
        done = subprocess.run(
            [BROWSER, *options, address], capture_output=True, text=True, timeout=180, check=True
        )
        return done.stdout, done.stderr

    return opened
