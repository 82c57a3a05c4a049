"""The page and the JSON of a comparison: figures, table, and what both models answered."""

from __future__ import annotations

import json
from importlib.metadata import version
from math import isfinite
from typing import TYPE_CHECKING, Any

import pandas as pd

from sft_probe.report import cells
from sft_probe.report.browser import CHANGES, SOURCES, changed, sample
from sft_probe.report.cells import Column, Table
from sft_probe.report.charts import COLOURS, Chart, draw
from sft_probe.report.comparison_words import (
    covers,
    data_name,
    difference_table,
    sentences,
    warnings,
)
from sft_probe.report.differences import last_look
from sft_probe.report.figures_when import TIMELINE
from sft_probe.report.numbers import Value, kind_of
from sft_probe.report.page import ITEM_WORDS, embedded, fill_in
from sft_probe.report.panels import over_steps
from sft_probe.report.panels_differences import Row, differences
from sft_probe.report.redaction import hide_unsafe
from sft_probe.report.shading import LEVELS
from sft_probe.report.summaries import over_seeds, records
from sft_probe.report.words import Words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sft_probe.report.charts import Panel
    from sft_probe.report.comparison import Comparison
    from sft_probe.report.differences import Difference

SCHEMA = "sft_probe.comparison/1"


def comparison_page(found: Comparison, *, lang: str = "en", show_unsafe: bool = False) -> str:
    """One self-contained page. Raises: SpecError for an unknown language."""
    words = Words(lang)
    charts = comparison_charts(found, words)
    items = _answers(found, words, show_unsafe=show_unsafe)
    return fill_in(
        "comparison.html.j2",
        words,
        {chart.name: draw(chart) for chart in charts},
        found=found,
        verdict=sentences(found, words),
        covers=covers(found, words),
        warnings=warnings(found, words),
        charts=charts,
        items=items,
        item_data=embedded(_item_data(found, items, words)),
    )


def comparison_json(found: Comparison, *, lang: str = "en") -> str:
    """All sentences and numbers; undefined numbers are null."""
    words = Words(lang)
    content = {
        "schema": SCHEMA,
        "sft_probe": version("sft-probe"),
        "language": lang,
        **{
            name: {
                "label": side.label,
                "study": side.study,
                "runs": [run.run for run in side.runs],
                "digests": [run.digest for run in side.runs],
                "base": side.base,
                "steps": side.steps,
            }
            for name, side in (("a", found.a), ("b", found.b))
        },
        "verdict": sentences(found, words),
        "covers": covers(found, words),
        "warnings": warnings(found, words),
        "margin": found.margin,
        "differences": [_difference_json(d) for d in found.differences],
    }
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _difference_json(d: Difference) -> dict[str, Any]:
    numbers = {
        "a": d.a.value,
        "b": d.b.value,
        "difference": d.change.estimate.value,
        "low": d.change.estimate.low,
        "high": d.change.estimate.high,
        "p": d.change.p,
        "adjusted_p": d.adjusted,
        "adjusted_p_alike": d.adjusted_alike,
        "detectable": d.change.detectable,
    }
    return {
        **d.place._asdict(),
        "unit": d.unit,
        "better": d.better,
        **{key: value if isfinite(value) else None for key, value in numbers.items()},
        "n": d.change.n,
        "n_clusters": d.change.n_clusters,
        "paired": d.paired,
        "partial": d.partial,
        "outcome": d.outcome,
        "why": d.why,
    }


def comparison_charts(found: Comparison, words: Words) -> tuple[Chart, ...]:
    """The differences by unit, and both over the steps of training where both were watched."""
    whole = [d for d in found.differences if not d.place.stratum]
    drawn = Chart(
        name="differences",
        title=words("compare.chart", n=sum(_sign(d) != 0 for d in whole), total=len(whole)),
        subtitle=words("compare.chart.subtitle", a=found.a.label, b=found.b.label),
        note=words("compare.chart.note"),
        panels=tuple(_difference_panels(whole, words)),
        table=difference_table(found, words),
    )
    timeline = _timeline(found, words)
    return (drawn, timeline) if timeline else (drawn,)


def _difference_panels(whole: Sequence[Difference], words: Words) -> list[Panel]:
    """One panel per unit, so that its rows share an axis."""
    groups: dict[str, list[Difference]] = {}
    for d in whole:
        if isfinite(d.change.estimate.value):
            points = kind_of(d.place.metric, change=True) == "points"
            groups.setdefault(words("unit.points") if points else d.unit, []).append(d)
    return [
        differences(
            words("compare.difference") + (f", {unit}" if unit != "1" else ""),
            [Row(_row_name(d, words), d.change.estimate, _sign(d)) for d in own],
            kind_of(own[0].place.metric, change=True),
            words,
        )
        for unit, own in groups.items()
    ]


def _sign(d: Difference) -> int:
    return {"higher": 1, "lower": -1}.get(d.outcome, 0)


def _row_name(d: Difference, words: Words) -> str:
    data = data_name(d, words)
    return f"{words.metric(d.place.metric)} · {data}" if data else words.metric(d.place.metric)


def _timeline(found: Comparison, words: Words) -> Chart | None:
    measurements = _both(found.a.measurements, found.b.measurements)
    whole = measurements[
        measurements["layer"].eq(-1)
        & measurements["module"].eq("")
        & measurements["stratum"].eq("")
        & measurements["metric"].isin(TIMELINE)
        & measurements["value"].notna()
    ]
    whole = whole[whole["dataset"] == whole.groupby("metric")["dataset"].transform("first")]
    seen = whole.groupby(["metric", "arm"])["step"].nunique().unstack(fill_value=0)
    watched = [m for m in TIMELINE if m in seen.index and len(seen.columns) == 2 and seen.loc[m].min() > 2]
    if not watched:
        return None
    means = over_seeds(whole, _both(found.a.items, found.b.items))
    panels = tuple(
        over_steps(
            words.metric(metric),
            found.arms,
            means[means["metric"] == metric],
            whole[whole["metric"] == metric],
            words,
        )
        for metric in watched
    )
    return Chart(
        name="timeline",
        title=words("compare.timeline"),
        subtitle=words("compare.timeline.subtitle"),
        note=words("compare.timeline.note"),
        panels=panels,
        table=_steps_table(found, means[means["metric"].isin(watched)], words),
        legend=found.arms,
    )


def _steps_table(found: Comparison, means: pd.DataFrame, words: Words) -> Table:
    """Both at every look."""
    columns = (
        Column(key="measure", title=words("col.measure"), numeric=False),
        Column(key="arm", title=words("col.arm"), numeric=False),
        Column(key="step", title=words("axis.step")),
        Column(key="value", title=words("col.value"), interval=True),
        Column(key="n", title=words("col.items")),
    )
    labels, to = {arm.name: arm.label for arm in found.arms}, words.interval_word()
    rows = tuple(
        (
            cells.text(words.metric(row["metric"])),
            cells.text(labels[row["arm"]]),
            cells.count(row["step"]),
            cells.amount(Value(row["value"], row["ci_low"], row["ci_high"]), kind_of(row["metric"]), to=to),
            cells.count(row["n"]),
        )
        for row in records(means.sort_values(["metric", "arm", "step"]))
    )
    return Table(name="timeline", caption=words("compare.timeline"), columns=columns, rows=rows)


def _both(a: pd.DataFrame, b: pd.DataFrame) -> pd.DataFrame:
    """Rows of both under the names of their arms in figures."""
    return pd.concat([a.assign(arm="a"), b.assign(arm="b")], ignore_index=True)


def _answers(found: Comparison, words: Words, *, show_unsafe: bool) -> list[dict[str, Any]]:
    """A sample of what both said to the same items, seed by seed where both have the same seeds."""
    frames = []
    for probe, metric in SOURCES:
        one, two = (
            last_look(rows[(rows["probe"] == probe) & (rows["metric"] == metric)])
            for rows in (found.a.items, found.b.items)
        )
        keys = ["dataset", "item", "prompt", "target"]
        keys += ["seed"] if set(found.a.seeds) == set(found.b.seeds) else []
        one, two = (rows.drop_duplicates(keys) for rows in (one, two))
        before = one[[*keys, "value", "prediction"]].rename(
            columns={"value": "before", "prediction": "said_before"}
        )
        frames.append(
            two.rename(columns={"value": "after", "prediction": "said_after"}).merge(before, on=keys)
        )
    rows = pd.concat(frames, ignore_index=True)
    if rows.empty:
        return []
    rows = rows.assign(arm="b", change=changed(rows))
    unsafe = _both(found.a.items, found.b.items)
    return sample(rows if show_unsafe else hide_unsafe(rows, unsafe, words))


def _item_data(found: Comparison, items: list[dict[str, Any]], words: Words) -> dict[str, Any]:
    own = {f"change.{change}": words.template(f"compare.change.{change}") for change in CHANGES}
    own |= {"items.before": "A", "items.after": "B"}
    return {
        "items": items,
        "rows": [],
        "map": "",
        "levels": LEVELS,
        "probes": {name: words.probe(name) for name in {item["p"]: 0 for item in items}},
        "arms": {"b": {"label": found.b.label, "k": 1}},
        "colours": len(COLOURS),
        "changes": list(CHANGES),
        "words": {key: words.template(key) for key in ITEM_WORDS} | own,
    }
