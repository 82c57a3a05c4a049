"""The item browser: what the model said before and after, sampled for the page; counts are complete."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from sft_probe.report import cells
from sft_probe.report.cells import Column, Table
from sft_probe.report.findings import STRICT
from sft_probe.report.headlines import headlines
from sft_probe.report.nearest import nearest
from sft_probe.report.redaction import hide_unsafe, unsafe
from sft_probe.report.shading import by_answer, shaded
from sft_probe.report.summaries import records

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sft_probe.report.findings import Findings
    from sft_probe.report.material import Material
    from sft_probe.report.shading import Tokens
    from sft_probe.report.words import Words

CHANGES = ("gained", "lost", "kept_right", "reworded", "kept_wrong")
SOURCES = (("task_alignment", STRICT), ("forgetting", "correct"))
LONGEST, ROW = 400, 200  # characters of one text on the page, and of one side of a training row
_PICTURES = {code: 0x2400 + code for code in range(32) if chr(code) not in "\t\n"} | {127: 0x2421}
BUDGET = 2_500_000  # bytes of all texts on the page
NEAR = 30  # bytes by which a record points to training rows
_GROUP = ["arm", "probe", "dataset", "change"]
_SHOWN = ["arm", "seed", "probe", "dataset", "stratum", "item", "prompt", "target"]
_SHOWN += ["before", "after", "said_before", "said_after"]


@dataclass(frozen=True, kw_only=True)
class Browser:
    """records: sampled items with short keys, for the page.  counts: of all items.  total: of all items.

    rows: the training rows that items point to, as question and answer.  compared: among how many they are
    the nearest.
    """

    records: list[dict[str, Any]]
    counts: Table
    total: int
    rows: list[tuple[str, str]] = field(default_factory=list)
    compared: int = 0


def browse(found: Findings, words: Words, *, budget: int = BUDGET) -> Browser:
    """Sort every item into gained, lost, right both times, wrong with a new answer, wrong with the same.

    The sample takes the same number from each arm, probe, data set and kind of change, spread evenly over the
    stored order, until `budget` bytes are used. Where values by token were kept, half of it has them.
    """
    frames = [found.material.flips(probe, metric) for probe, metric in sources(found)]
    filled = [frame for frame in frames if not frame.empty]
    if not filled:
        return Browser(records=[], counts=_count_table(found, words, pd.DataFrame()), total=0)
    rows = pd.concat([frame[_SHOWN] for frame in filled], ignore_index=True)
    rows = rows.assign(change=changed(rows))
    tokens = by_answer(found.material)
    keys = zip(*(rows[name] for name in ("arm", "seed", "dataset", "item")), strict=True) if tokens else ()
    detailed = pd.Series([key in tokens for key in keys], dtype=bool) if tokens else None
    picked = pick(rows, budget, detailed)
    if not found.material.show_unsafe:
        picked = hide_unsafe(picked, found.material.items, words)
    kept = within(picked, budget, tokens)
    near, compared = _with_nearest(found.material, kept, words)
    counts = _count_table(found, words, rows)
    return Browser(records=kept, counts=counts, total=len(rows), rows=near, compared=compared)


def sources(found: Findings) -> list[tuple[str, str]]:
    """Probe and metric of the items that are shown: right or wrong, with what was said.

    Those of `SOURCES`, and of every other probe the first metric of which more is better.
    """
    material = found.material
    made = [source for source in SOURCES if not material.items_of(*source).empty]
    told = headlines(material.probes, material.measurements)
    for probe in dict.fromkeys(map(str, material.items["probe"].unique())):
        if any(probe == known for known, _ in made):
            continue
        rows = material.measurements[material.measurements["probe"] == probe]
        better = set(rows["metric"][rows["better"] == "higher"])
        for metric in (metric for metric in told.get(probe, ()) if metric in better):
            own = material.items_of(probe, metric)
            if not own.empty and own["value"].between(0, 1).all() and own["prediction"].ne("").any():
                made.append((probe, metric))
                break
    return made


def changed(rows: pd.DataFrame) -> np.ndarray[Any, Any]:
    """Right means a value above one half, so that scores between 0 and 1 can be sorted too."""
    before, after = rows["before"] > 0.5, rows["after"] > 0.5
    same = rows["said_before"] == rows["said_after"]
    return np.select(
        [~before & after, before & ~after, before & after, ~same], list(CHANGES[:4]), default=CHANGES[4]
    )


def sample(rows: pd.DataFrame, budget: int = BUDGET) -> list[dict[str, Any]]:
    """The same number from each arm, probe, data set and kind of change, within a budget of bytes."""
    return within(pick(rows, budget), budget)


def pick(rows: pd.DataFrame, budget: int, detailed: pd.Series | None = None) -> pd.DataFrame:
    """As many rows of each group as the budget seems to allow.

    detailed: (rows,) which to prefer for half of the places.
    """
    groups: Mapping[Any, Any] = rows.groupby(_GROUP, sort=False).indices
    texts = rows[["prompt", "target", "said_before", "said_after"]]
    mean = sum(min(LONGEST, float(texts[name].str.len().mean())) for name in texts) + 120
    each = max(3, int(budget / mean / len(groups)))
    marked = np.zeros(len(rows), bool) if detailed is None else detailed.to_numpy()
    places = []
    for group in groups.values():
        special = group[marked[group]][: each // 2]
        plain = np.setdiff1d(group, special, assume_unique=True)
        evenly = np.linspace(0, len(plain) - 1, min(each - len(special), len(plain))).round().astype(int)
        places += [special, plain[np.unique(evenly)]]
    return rows.iloc[np.concatenate(places)]


def within(
    rows: pd.DataFrame, budget: int, tokens: Mapping[tuple[Any, ...], list[Tokens]] | None = None
) -> list[dict[str, Any]]:
    """Records until the budget is used, taking groups in turn so that none is left out."""
    turn = rows.groupby(_GROUP, sort=False).cumcount()
    kept: list[dict[str, Any]] = []
    used = 0
    for row in records(rows.assign(turn=turn).sort_values("turn", kind="stable")):
        record = {
            "a": row["arm"],
            "s": int(row["seed"]),
            "p": row["probe"],
            "d": row["dataset"],
            "g": row["stratum"],
            "i": row["item"],
            "c": row["change"],
            "q": shorten(row["prompt"]),
            "t": shorten(row["target"]),
            "b": shorten(row["said_before"]),
            "e": shorten(row["said_after"]),
        }
        record |= _shading(row, tokens or {})
        used += len(json.dumps(record)) + NEAR
        if used > budget:
            break
        kept.append(record)
    return kept


def _shading(row: Mapping[str, Any], tokens: Mapping[tuple[Any, ...], list[Tokens]]) -> dict[str, Any]:
    """The tokens of both answers with their values, where they were kept and are short enough to be shown."""
    known = tokens.get((row["arm"], row["seed"], row["dataset"], row["item"]), [])
    made = {}
    for key, said in (("kb", row["said_before"]), ("ke", row["said_after"])):
        found = next((given for each in known if (given := shaded(said, each))), [])
        if found and sum(len(text) for text, _ in found) <= LONGEST:
            made[key] = [[shorten(text), value] for text, value in found]
    return made


def _with_nearest(
    material: Material, kept: list[dict[str, Any]], words: Words
) -> tuple[list[tuple[str, str]], int]:
    """Give every record the training rows nearest to it as `n`; returns those rows, and among how many."""
    rows = material.train_rows
    if not material.show_unsafe:
        rows = rows[~unsafe(rows["prompt"], material.items)]
    if rows.empty:
        return [], 0
    told = [f"{record['q']} {record['t']}" for record in kept if record["q"] != words("items.hidden")]
    texts = list(dict.fromkeys(told))
    found = dict(zip(texts, nearest(texts, (rows["prompt"] + " " + rows["target"]).tolist()), strict=True))
    pages: dict[int, int] = {}
    for record in kept:
        near = found.get(f"{record['q']} {record['t']}", ())
        if near:
            record["n"] = [[pages.setdefault(row, len(pages)), likeness] for row, likeness in near]
    shown = rows.iloc[list(pages)]
    pairs = zip(shown["prompt"], shown["target"], strict=True)
    return [(shorten(asked, ROW), shorten(answer, ROW)) for asked, answer in pairs], len(rows)


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
        Column(key="probe", title=words("col.probe"), numeric=False),
        Column(key="dataset", title=words("col.dataset"), numeric=False),
        Column(key="arm", title=words("col.arm"), numeric=False),
        *(Column(key=change, title=words(f"change.{change}")) for change in CHANGES),
        Column(key="all", title=words("all")),
    )
    body = []
    if not rows.empty:
        places = ["probe", "dataset", "arm"]
        grid = rows.groupby([*places, "change"], sort=False).size().unstack(fill_value=0)
        for counted in records(grid.reset_index()):
            probe, dataset, arm = (counted[place] for place in places)
            values = [int(counted.get(change, 0)) for change in CHANGES]
            body.append(
                (
                    cells.text(words.probe(probe)),
                    cells.text(dataset),
                    cells.text(found.label(arm)),
                    *(cells.count(value) for value in values),
                    cells.count(sum(values)),
                )
            )
    return Table(name="items", caption=words("table.items"), columns=columns, rows=tuple(body))
