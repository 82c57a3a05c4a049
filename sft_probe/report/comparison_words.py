"""A comparison in plain sentences and as a table, never more certain than the intervals."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING

from sft_probe.report import cells
from sft_probe.report.cells import Column, Table
from sft_probe.report.differences import TOGETHER
from sft_probe.report.numbers import kind_of, number, p_value, with_interval

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sft_probe.report.comparison import Comparison
    from sft_probe.report.differences import Difference
    from sft_probe.report.words import Words

NAMED = 3  # measures that one sentence names


def sentences(found: Comparison, words: Words) -> list[str]:
    """What is shown over whole data sets, for better, for worse and neither; then what is not."""
    whole = [d for d in found.differences if not d.place.stratum]
    groups = {
        "better": [d for d in whole if d.good > 0],
        "worse": [d for d in whole if d.good < 0],
        "moved": [d for d in whole if d.outcome in ("higher", "lower") and not d.good],
    }
    said = [
        words(f"compare.{key}", a=found.a.label, b=found.b.label, list=_listed(group, words))
        for key, group in groups.items()
        if group
    ]
    if not said:
        said = [words("compare.none", n=sum(d.outcome != "untested" for d in whole))]
    alike = [d for d in whole if d.outcome == "alike"]
    if alike:
        margin = number(found.margin, "size")
        said.append(words("compare.alike", margin=margin, list=_listed(alike, words)))
    return [*said, *_undecided(whole, words)]


def covers(found: Comparison, words: Words) -> str:
    """What the intervals cover, and what they do not."""
    seeds = words("compare.covers_run" if found.one_seed else "compare.covers_seeds")
    tested = sum(isfinite(d.adjusted) for d in found.differences)
    return words("compare.covers", n=tested, seeds=seeds)


def warnings(found: Comparison, words: Words) -> list[str]:
    """What a reader must know before believing a difference."""
    apart = [d for d in found.differences if not d.paired]
    partial = [d for d in found.differences if d.partial]
    said = [words("compare.other_base")] if found.other_base else []
    if found.a.steps != found.b.steps:
        said.append(words("compare.other_steps", a=found.a.steps, b=found.b.steps))
    if apart and len(apart) == len(found.differences):
        said.append(words("compare.no_items"))
    elif apart:
        said.append(words("compare.unpaired", n=len(apart), total=len(found.differences)))
    if partial:
        said.append(words("compare.partial", n=len(partial)))
    return said


def difference_table(found: Comparison, words: Words) -> Table:
    """Every difference with both values, interval, adjusted p and what can be said."""
    columns = (
        *(
            Column(key=key, title=words(f"col.{key}"), numeric=False)
            for key in ("probe", "measure", "dataset", "stratum")
        ),
        Column(key="a", title="A"),
        Column(key="b", title="B"),
        Column(key="difference", title=words("compare.difference"), interval=True),
        Column(key="n", title=words("col.items")),
        Column(key="adjusted", title=words("col.adjusted")),
        Column(key="outcome", title=words("compare.shown"), numeric=False),
        Column(key="how", title=words("compare.how"), numeric=False),
    )
    rows = tuple(_row(found, d, words) for d in found.differences)
    return Table(name="differences", caption=words("compare.table"), columns=columns, rows=rows)


def measured(d: Difference, words: Words) -> str:
    """What a metric is called, with its unit where the name lacks it."""
    name, unit = words.metric(d.place.metric), d.unit.partition("/")[0].rstrip("s")
    plain = kind_of(d.place.metric) in ("share", "points") or d.unit in ("1", "") or unit in name
    return name if plain else f"{name}, {d.unit}"


def data_name(d: Difference, words: Words) -> str:
    """What the data set is called."""
    return words("all") if d.place.dataset == TOGETHER else d.place.dataset


def outcome(found: Comparison, d: Difference, words: Words) -> str:
    """What can be said of one difference, in a few words."""
    if d.good:
        return words("compare.b_better" if d.good > 0 else "compare.b_worse")
    row = "_row" if d.outcome in ("alike", "open") else ""
    return words(f"compare.{d.outcome}{row}", margin=number(found.margin, "size"))


def moved_by(d: Difference, words: Words) -> str:
    """The difference with its interval."""
    return with_interval(d.change.estimate, kind_of(d.place.metric, change=True), words.interval_word())


def _row(found: Comparison, d: Difference, words: Words) -> tuple[cells.Cell, ...]:
    kind, to = kind_of(d.place.metric), words.interval_word()
    how = "partial_row" if d.partial else "paired" if d.paired else "apart"
    return (
        cells.text(words.probe(d.place.probe)),
        cells.text(measured(d, words)),
        cells.text(data_name(d, words)),
        cells.text(d.place.stratum),
        cells.amount(d.a.value, kind),
        cells.amount(d.b.value, kind),
        cells.amount(d.change.estimate, kind_of(d.place.metric, change=True), to=to, why=d.why),
        cells.count(d.change.n),
        cells.printed(p_value(d.adjusted), d.adjusted),
        cells.text(outcome(found, d, words)),
        cells.text(words(f"compare.{how}")),
    )


def _listed(group: Sequence[Difference], words: Words) -> str:
    """The surest few, each with its number and interval, and how many more there are."""
    ordered = _one_of_each_first(sorted(group, key=_surety, reverse=True))
    named = [
        words(
            "compare.one",
            measure=measured(d, words),
            data=_data(d, words),
            difference=_in_points(d, words),
        )
        for d in ordered[:NAMED]
    ]
    if len(ordered) > NAMED:
        named.append(words("compare.more", n=len(ordered) - NAMED))
    return words.listed_apart(named)


def _one_of_each_first(ordered: Sequence[Difference]) -> list[Difference]:
    """The surest of every probe before further ones, which often say the same."""
    first = {d.place.probe: d for d in reversed(ordered)}.values()
    leading = [d for d in ordered if d in first]
    return leading + [d for d in ordered if d not in first]


def _in_points(d: Difference, words: Words) -> str:
    kind, shown = kind_of(d.place.metric, change=True), moved_by(d, words)
    if kind != "points":
        return shown
    value, bracket, limits = shown.partition(" (")
    return words("points", value=value) + bracket + limits


def _data(d: Difference, words: Words) -> str:
    if not d.place.dataset:
        return ""
    name = words("compare.all_data") if d.place.dataset == TOGETHER else d.place.dataset
    return words("compare.on", data=name)


def _surety(d: Difference) -> float:
    width = d.change.estimate.high - d.change.estimate.low
    return abs(d.change.estimate.value) / width if width > 0 else 0.0


def _undecided(whole: Sequence[Difference], words: Words) -> list[str]:
    """On how much nothing is shown, and how large a difference of a share could have hidden there."""
    open_ones = [d for d in whole if d.outcome == "open"]
    if not open_ones:
        return []
    shares = [d.change.detectable for d in open_ones if kind_of(d.place.metric) in ("share", "points")]
    sizes = [size for size in shares if isfinite(size)]
    key = "compare.open_size" if sizes else "compare.open"
    mde = number(max(sizes), "size") if sizes else ""
    return [words(key, n=len(open_ones), total=len(whole), mde=mde)]
