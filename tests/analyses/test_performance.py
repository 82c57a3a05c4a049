"""The frame of `analyses/performance`: fair races, goals, memory of a fresh process, the page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from analyses.performance.bench import (
    Result,
    Row,
    Timing,
    at_least,
    at_most,
    in_fresh_process,
    overhead,
    race,
    speedup,
    to_json,
)
from analyses.performance.machine import describe
from analyses.performance.report import write_report


def test_sides_of_a_race_take_turns() -> None:
    calls: list[str] = []
    timings = race({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, 3)
    assert calls == list("ab" + "ab" + "ba" + "ab")
    assert [len(timings[name].wall) for name in "ab"] == [3, 3]


def test_a_figure_is_a_ratio_of_medians() -> None:
    slow, fast = Timing((9.0, 3.0, 4.0), (2.0, 2.0, 2.0)), Timing((1.0, 2.0, 9.0), (1.0, 0.5, 0.5))
    row = speedup("case", fast, slow, at_least(3))
    assert (row.value, row.process_value) == (2.0, 4.0)
    assert overhead("case", slow, fast).value == 2.0


@pytest.mark.parametrize("value", [1.0, 2.0, float("nan")])
def test_goals(value: float) -> None:
    assert at_least(1.5).met(value) == (value == 2.0)
    assert at_most(1.5).met(value) == (value == 1.0)


def test_memory_is_that_of_the_child() -> None:
    small, large = (
        in_fresh_process("tests.analyses.test_performance:allocate", mebibytes=size) for size in (1, 200)
    )
    assert large["peak_rss"] - small["peak_rss"] > 150 * 2**20
    assert large["length"] == 200 * 2**20
    with pytest.raises(RuntimeError, match="division"):
        in_fresh_process("tests.analyses.test_performance:fail")


def allocate(mebibytes: int) -> dict[str, int]:
    return {"length": len(bytearray(b"x") * (mebibytes * 2**20))}


def fail() -> None:
    raise ArithmeticError("division")


def test_the_page_says_what_was_missed(tmp_path: Path) -> None:
    result = Result(
        name="cka",
        question="How fast?",
        goal="at least 3 times",
        rows=(
            speedup("few tokens", Timing((1.0,), (1.0,)), Timing((4.0,), (4.0,)), at_least(3), "to 1e-9"),
            Row(case="peak", value=2.5, unit="GB", goal=at_most(2)),
            Row(case="undefined", value=float("nan"), unit="GB", goal=at_most(2)),
        ),
        notes=("the reason",),
    )
    file = tmp_path / "results" / "cka.json"
    file.parent.mkdir()
    file.write_text(to_json(result, machine()))
    page = write_report(tmp_path, ("growth", "cka")).read_text()
    assert "| [cka](#cka) | few tokens | 4.00 times faster | 4.00 | ≥ 3 | met |" in page
    assert "| [cka](#cka) | peak | 2.50 GB | — | ≤ 2 | **missed** |" in page
    assert "| [cka](#cka) | undefined | — | — | ≤ 2 | **missed** |" in page
    assert "- the reason" in page
    assert json.loads(file.read_text())["rows"][2]["value"] is None


def machine() -> dict[str, Any]:
    found = describe()
    assert found["versions"]["torch"] != "absent"
    return found
