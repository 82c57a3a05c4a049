"""The item browser: what the model said before and after, sampled for the page; counts are complete."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from sft_probe.report import cells
from sft_probe.report.cells import Column, Table
from sft_probe.report.findings import STRICT
from sft_probe.report.redaction import hide_unsafe
from sft_probe.report.summaries import before_and_after, records

if TYPE_CHECKING:
    from sft_probe.report.findings import Findings
    from sft_probe.report.words import Words

CHANGES = ("gained", "lost", "kept_right", "reworded", "kept_wrong")
SOURCES = (("task_alignment", STRICT), ("forgetting", "correct"))
LONGEST = 400  # characters of one text on the page
_PICTURES = {code: 0x2400 + code for code in range(32) if chr(code) not in "\t\n"} | {127: 0x2421}
BUDGET = 2_500_000  # bytes of all texts on the page


@dataclass(frozen=True, kw_only=True)
class Browser:
    """records: sampled items with short keys, for the page.  counts: of all items.  total: of all items."""

    records: list[dict[str, Any]]
    counts: Table
    total: int


def browse(found: Findings, words: Words, *, budget: int = BUDGET) -> Browser:
    """Sort every item into gained, lost, right both times, wrong with a new answer, wrong with the same.

    The sample takes the same number from each arm, data set and kind of change, spread evenly over the
    stored order, until `budget` bytes are used.
    """
    frames = [before_and_after(found.material.items, probe, metric) for probe, metric in SOURCES]
    filled = [frame for frame in frames if not frame.empty]
    if not filled:
        return Browser(records=[], counts=_count_table(found, words, pd.DataFrame()), total=0)
    rows = pd.concat(filled, ignore_index=True)
    rows = rows.assign(change=changed(rows))
    shown = rows if found.material.show_unsafe else hide_unsafe(rows, found.material.items, words)
    return Browser(records=sample(shown, budget), counts=_count_table(found, words, rows), total=len(rows))


def changed(rows: pd.DataFrame) -> np.ndarray[Any, Any]:
    """Right means a value above one half, so that scores between 0 and 1 can be sorted too."""
    before, after = rows["before"] > 0.5, rows["after"] > 0.5
    same = rows["said_before"] == rows["said_after"]
    return np.select(
        [~before & after, before & ~after, before & after, ~same], list(CHANGES[:4]), default=CHANGES[4]
    )


def sample(rows: pd.DataFrame, budget: int = BUDGET) -> list[dict[str, Any]]:
    """The same number from each arm, data set and kind of change, within a budget of bytes."""
    groups = [group for _, group in rows.groupby(["arm", "probe", "dataset", "change"], sort=False)]
    texts = rows[["prompt", "target", "said_before", "said_after"]]
    mean = sum(min(LONGEST, float(texts[name].str.len().mean())) for name in texts) + 120
    each = max(3, int(budget / mean / len(groups)))
    picked = []
    for group in groups:
        places = np.unique(np.linspace(0, len(group) - 1, min(each, len(group))).round().astype(int))
        picked.append(group.iloc[places])
    return _within(pd.concat(picked), budget)


def _within(rows: pd.DataFrame, budget: int) -> list[dict[str, Any]]:
    """Records until the budget is used, taking groups in turn so that none is left out."""
    turn = rows.groupby(["arm", "probe", "dataset", "change"], sort=False).cumcount()
    kept: list[dict[str, Any]] = []
    used = 0
    for row in records(rows.assign(turn=turn).sort_values("turn", kind="stable")):
        record = {
            "a": row["arm"],
            "s": int(row["seed"]),
            "d": row["dataset"],
            "g": row["stratum"],
            "i": row["item"],
            "c": row["change"],
            "q": shorten(row["prompt"]),
            "t": shorten(row["target"]),
            "b": shorten(row["said_before"]),
            "e": shorten(row["said_after"]),
        }
        used += len(json.dumps(record))
        if used > budget:
            break
        kept.append(record)
    return kept


def shorten(text: str, limit: int = LONGEST) -> str:
    """The beginning and end of a long text, with the number of characters left out between.

    Control characters other than tab and line feed are shown as their pictures.
    """
    text = text.translate(_PICTURES)
    if len(text) <= limit:
        return text
    half = limit // 2
    return f"{text[:half]} […{len(text) - 2 * half:,}…] {text[-half:]}"


def _count_table(found: Findings, words: Words, rows: pd.DataFrame) -> Table:
    columns = (
        Column(key="dataset", title=words("col.dataset"), numeric=False),
        Column(key="arm", title=words("col.arm"), numeric=False),
        *(Column(key=change, title=words(f"change.{change}")) for change in CHANGES),
        Column(key="all", title=words("all")),
    )
    body = []
    if not rows.empty:
        grid = rows.groupby(["dataset", "arm", "change"], sort=False).size().unstack(fill_value=0)
        for counted in records(grid.reset_index()):
            dataset, arm = counted["dataset"], counted["arm"]
            values = [int(counted.get(change, 0)) for change in CHANGES]
            body.append(
                (
                    cells.text(dataset),
                    cells.text(found.label(arm)),
                    *(cells.count(value) for value in values),
                    cells.count(sum(values)),
                )
            )
    return Table(name="items", caption=words("table.items"), columns=columns, rows=tuple(body))
