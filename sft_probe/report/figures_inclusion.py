"""Counterfactual memorisation: each row or secret against itself, in runs with it and in runs without."""

from __future__ import annotations

from math import isfinite, nan
from typing import TYPE_CHECKING

from sft_probe.report import cells
from sft_probe.report.cells import Column, Table
from sft_probe.report.charts import Chart
from sft_probe.report.inclusion import METRICS, counterfactual_memorisation
from sft_probe.report.numbers import Value, with_interval
from sft_probe.report.panels import Dot, dots

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sft_probe.report.findings import Findings
    from sft_probe.report.words import Words
    from sft_probe.stats.intervals import Interval

NAME = "inclusion"

Effects = dict[str, dict[str, "Interval"]]  # what was included or not, then by arm


def inclusion_charts(found: Findings, words: Words) -> list[Chart]:
    """The figure, or nothing where no arm drew anew what its runs were trained on."""
    effects = _effects(found)
    if not effects:
        return []
    panels = tuple(
        dots(words(f"axis.inclusion.{of}"), found.arms, _dots(by_arm), "plain", words, 0.0)
        for of, by_arm in effects.items()
    )
    return [
        Chart(
            name=NAME,
            title=_title(effects, found, words),
            subtitle=words("chart.inclusion.subtitle"),
            note=words("chart.inclusion.note"),
            panels=panels,
            table=_table(effects, found, words),
        )
    ]


def _effects(found: Findings) -> Effects:
    items, effects = found.material.items, Effects()
    for of, metric in METRICS.items():
        for arm in sorted(set(items.loc[items["metric"] == metric, "arm"]), key=str):
            effect = counterfactual_memorisation(items, arm, of).effect
            if isfinite(effect.value):
                effects.setdefault(of, {})[arm] = effect
    return effects


def _value(effect: Interval) -> Value:
    return Value(effect.value, effect.low, effect.high)


def _dots(by_arm: Mapping[str, Interval]) -> dict[str, Dot]:
    return {arm: Dot(value=_value(effect), before=nan) for arm, effect in by_arm.items()}


def _title(effects: Effects, found: Findings, words: Words) -> str:
    """The largest effect that is shown."""
    shown = [
        (effect.value, arm, of, effect)
        for of, by_arm in effects.items()
        for arm, effect in by_arm.items()
        if effect.low > 0
    ]
    if not shown:
        return words("chart.inclusion.none")
    _, arm, of, effect = max(shown, key=lambda entry: entry[:3])
    value = with_interval(_value(effect), "plain", words.interval_word())
    return words(f"chart.inclusion.{of}", arm=found.label(arm), value=value)


def _table(effects: Effects, found: Findings, words: Words) -> Table:
    columns = (
        Column(key="of", title=words("col.measure"), numeric=False),
        Column(key="arm", title=words("col.arm"), numeric=False),
        Column(key="effect", title=words("col.change"), interval=True),
        Column(key="n", title=words("col.items")),
        Column(key="runs", title=words("col.runs")),
    )
    rows = tuple(
        (
            cells.text(words(f"axis.inclusion.{of}")),
            cells.text(found.label(arm)),
            cells.amount(_value(effect), to=words.interval_word(), why=effect.why),
            cells.count(effect.n),
            cells.count(effect.n_clusters),
        )
        for of, by_arm in effects.items()
        for arm, effect in by_arm.items()
    )
    return Table(name=NAME, caption=words("chart.inclusion.plain"), columns=columns, rows=rows)
