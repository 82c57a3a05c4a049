from __future__ import annotations

import json

from sft_probe.report.browser import CHANGES, browse, shorten
from sft_probe.report.findings import Findings
from sft_probe.report.words import Words

from .synthetic import BENCH_ITEMS, BENCHMARKS, TEST_ITEMS


def test_counts_are_of_all_items(found: Findings) -> None:
    browser = browse(found, Words())
    assert browser.total == 3 * 2 * (TEST_ITEMS + len(BENCHMARKS) * BENCH_ITEMS)
    rows = browser.counts.records()
    assert sum(row["all"] for row in rows) == browser.total  # type: ignore[misc]
    lost = {(row["dataset"], row["arm"]): row["lost"] for row in rows}
    assert lost["world_facts", "Full, 2e-3"] > 10  # type: ignore[operator]
    assert all(sum(row[c] for c in CHANGES) == row["all"] for row in rows)  # type: ignore[misc]


def test_a_small_budget_still_shows_every_kind(found: Findings) -> None:
    whole, small = browse(found, Words()), browse(found, Words(), budget=60_000)
    assert len(json.dumps(small.records)) < 61_000
    assert len(small.records) < len(whole.records)
    assert {(r["a"], r["d"], r["c"]) for r in small.records} == {
        (r["a"], r["d"], r["c"]) for r in whole.records
    }
    assert small.total == whole.total


def test_before_and_after_belong_to_the_change(found: Findings) -> None:
    for record in browse(found, Words()).records:
        if record["d"] == "test":
            assert (record["e"] == record["t"]) == (record["c"] in ("gained", "kept_right"))


def test_long_and_invisible_texts_are_shown_in_part_and_by_picture() -> None:
    assert shorten("x" * 5000, 100) == "x" * 50 + " […4,900…] " + "x" * 50
    assert shorten("a\x00b\x1b") == "a\u2400b\u241b"
    assert shorten("line\nbreak\t") == "line\nbreak\t"
