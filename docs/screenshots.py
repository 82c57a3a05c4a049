"""Pictures of the demo's report for these pages: `make screenshots` takes them anew. Needs Chromium."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
REPORT = ROOT / "reports/demo/report.html"
IMAGES = ROOT / "docs/images"
POLICY = re.compile(r'<meta http-equiv="Content-Security-Policy"[^>]*>')
DARK = "--blink-settings=preferredColorScheme=0"


class Picture(NamedTuple):
    """One picture of a window. section: the only part of the page that is shown, by id; "" for its top."""

    name: str
    section: str
    width: int
    height: int
    dark: bool = False


PICTURES = (
    Picture("report", "", 1280, 1480),
    Picture("report_dark", "", 1280, 1060, dark=True),
    Picture("report_phone", "", 390, 844),
    Picture("report_when", "when", 1280, 860),
    Picture("report_cost", "cost", 1280, 900),
    Picture("report_items", "items", 1280, 1320),
)


def take(picture: Picture, browser: str, folder: Path) -> None:
    """Take one picture. folder: a place for the page and the browser's profile."""
    page = folder / f"{picture.name}.html"
    page.write_text(_only(REPORT.read_text(encoding="utf-8"), picture.section), encoding="utf-8")
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
    options += [f"--user-data-dir={folder / 'profile'}", f"--window-size={picture.width},{picture.height}"]
    options += ["--virtual-time-budget=5000"]  # milliseconds for its script to run
    options += [f"--screenshot={IMAGES / picture.name}.png", *([DARK] if picture.dark else [])]
    subprocess.run([browser, *options, page.as_uri()], check=True, capture_output=True, timeout=300)


def _only(html: str, section: str) -> str:
    """The page with one section alone; its policy, which allows no style but its own, is left out."""
    if not section:
        return html
    style = f"<style>main > :not(#{section}) {{ display: none }}</style>"
    return POLICY.sub("", html).replace("</head>", f"{style}</head>", 1)


def main() -> int:
    """Take all pictures."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        print("There is no Chromium here.", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as folder:
        for picture in PICTURES:
            take(picture, browser, Path(folder))
    return 0


if __name__ == "__main__":
    sys.exit(main())
