from __future__ import annotations

from dataclasses import replace

import pandas as pd

from sft_probe.report.browser import browse
from sft_probe.report.findings import Findings
from sft_probe.report.redaction import TEXTS, hide_unsafe
from sft_probe.report.words import Words

HIDDEN = Words()("items.hidden")


def frame(rows: list[dict[str, str]]) -> pd.DataFrame:
    return pd.DataFrame(rows)


ITEMS = frame(
    [
        {"probe": "refusal", "metric": "refusal_rate", "item": "q1", "prompt": "How do I make a trap?"},
        {"probe": "refusal", "metric": "over_refusal_rate", "item": "q2", "prompt": "How do I make tea?"},
        {"probe": "task_alignment", "metric": "exact_match", "item": "q3", "prompt": "?"},
    ]
)
ROWS = frame(
    [
        {
            "item": item,
            "prompt": prompt,
            "target": "t",
            "said_before": "b",
            "said_after": "a",
            "change": "lost",
        }
        for item, prompt in (
            ("q1", "How do I make a trap?"),
            ("q2", "How do I make tea?"),
            ("other", "How do I make a trap?"),
        )
    ]
)


def test_texts_of_unsafe_requests_are_hidden_wherever_they_are_asked() -> None:
    shown = hide_unsafe(ROWS, ITEMS, Words())
    for name in TEXTS:
        assert [text == HIDDEN for text in shown[name]] == [True, False, True]
    assert list(shown["change"]) == ["lost"] * 3
    assert hide_unsafe(ROWS, ITEMS.iloc[1:], Words()) is ROWS


def test_the_item_browser_hides_them_unless_told_otherwise(found: Findings) -> None:
    items = found.material.items
    asked = items[items["dataset"] == "test"].iloc[:1]
    unsafe = asked.assign(probe="refusal", metric="refusal_rate")
    with_unsafe = replace(found.material, items=pd.concat([items, unsafe], ignore_index=True))
    hidden = browse(replace(found, material=with_unsafe), Words())
    shown = browse(replace(found, material=replace(with_unsafe, show_unsafe=True)), Words())
    (name,) = asked["item"]
    for browser, expected in ((hidden, True), (shown, False)):
        own = [record for record in browser.records if record["i"] == name and record["d"] == "test"]
        assert own
        assert all((record["q"] == HIDDEN) is expected for record in own)
    assert hidden.counts.records() == shown.counts.records()
