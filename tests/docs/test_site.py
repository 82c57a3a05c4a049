"""The site is built strictly, asks for nothing from elsewhere, and has every page."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from .pages import ROOT, pages

ELSEWHERE = re.compile(
    r"""<(?:script|link|img|iframe|source)\b[^>]*?\b(?:src|href)=["']?(https?:)?//[^>]*>|@import|url\(["']?https?:"""
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not os.environ.get("SFT_PROBE_CI"):  # there it must be installed
        pytest.importorskip("mkdocs")
        pytest.importorskip("mkdocstrings")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "-d", str(folder)]
    quiet = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=quiet, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.mark.slow
def test_every_page_is_there(site: Path) -> None:
    names = {name.removeprefix("docs/").removesuffix(".md") for name in pages()} - {"README", "index"}
    assert not [name for name in sorted(names) if not (site / name / "index.html").is_file()]


@pytest.mark.slow
def test_nothing_is_asked_for_elsewhere(site: Path) -> None:
    read = [*site.rglob("index.html"), *site.rglob("assets/**/*.css"), site / "site.css"]
    assert len(read) > len(pages())
    assert not [path.name for path in read if ELSEWHERE.search(path.read_text(encoding="utf-8"))]


@pytest.mark.slow
def test_the_reference_is_made_from_docstrings(site: Path) -> None:
    python = (site / "reference/python/index.html").read_text(encoding="utf-8")
    assert "leaves a finished run. Call it before training." in python
    assert "doc-admonition" not in python  # arguments are lists, not boxes
    commands = (site / "reference/commands/index.html").read_text(encoding="utf-8")
    assert "sft-probe calibrate [OPTIONS]" in commands
