"""The page of a large study stays small, and its cost grows no faster than the study."""

from __future__ import annotations

from pathlib import Path

import pytest

from analyses.performance.report_size import build
from analyses.performance.report_store import Size

pytestmark = pytest.mark.slow


def test_a_page_of_thirty_runs_is_small_and_grows_less_than_its_store(tmp_path: Path) -> None:
    few, small = build(tmp_path / "few", Size(steps=3, items=600))
    many, large = build(tmp_path / "many", Size(steps=3, items=2400))
    assert max(small, large) < 10_000_000
    assert large / small < 4
    assert many.process_seconds / few.process_seconds < 4
