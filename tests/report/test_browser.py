from __future__ import annotations

import json
from dataclasses import replace

import pandas as pd

from sft_probe.report.browser import CHANGES, browse, shorten, sources
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
    kinds = [{(r["a"], r["p"], r["d"], r["c"]) for r in browser.records} for browser in (small, whole)]
    assert kinds[0] == kinds[1]
    assert small.total == whole.total


def test_before_and_after_belong_to_the_change(found: Findings) -> None:
    for record in browse(found, Words()).records:
        if record["d"] == "test":
            assert (record["e"] == record["t"]) == (record["c"] in ("gained", "kept_right"))


def test_long_and_invisible_texts_are_shown_in_part_and_by_picture() -> None:
    assert shorten("x" * 5000, 100) == "x" * 50 + " […4,900…] " + "x" * 50
    assert shorten("a\x00b\x1b") == "a\u2400b\u241b"
    assert shorten("line\nbreak\t") == "line\nbreak\t"


def test_the_tuned_answer_carries_values_by_token(found: Findings) -> None:
    shaded = [record for record in browse(found, Words()).records if "ke" in record]
    assert shaded
    for record in shaded:
        assert record["p"] == "task_alignment"
        assert "".join(text for text, _ in record["ke"]).startswith(record["e"])


def test_training_rows_beside_an_item_are_nearest_by_words(found: Findings) -> None:
    browser = browse(found, Words())
    assert browser.compared == 60
    (record,) = [r for r in browser.records if r["i"] == "q7" and r["a"] == "full" and r["s"] == 0]
    ((row, likeness),) = record["n"]
    assert browser.rows[row] == ("Where does person 7 live?", "city 7")
    assert likeness == 1.0


def test_a_study_that_kept_no_rows_shows_none(found: Findings) -> None:
    bare = replace(found.material, train_rows=found.material.train_rows.head(0))
    browser = browse(replace(found, material=bare), Words())
    assert (browser.rows, browser.compared) == ([], 0)
    assert not any("n" in record for record in browser.records)


def test_another_probe_with_right_and_wrong_answers_is_shown_too(found: Findings) -> None:
    items = found.material.items
    own = items[(items["probe"] == "task_alignment") & (items["metric"] == "exact_match")]
    extra = own.assign(probe="instruction_following", metric="followed")
    rows = found.material.measurements
    measured = rows[rows["metric"] == "exact_match"].assign(probe="instruction_following", metric="followed")
    material = replace(
        found.material,
        items=pd.concat([items, extra], ignore_index=True),
        measurements=pd.concat([rows, measured], ignore_index=True),
    )
    assert sources(replace(found, material=material))[-1] == ("instruction_following", "followed")
