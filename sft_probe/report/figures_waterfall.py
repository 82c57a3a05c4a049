"""The gain waterfall: from base to full fine-tuning in steps that add up, one panel per stratum of facts."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING

from sft_probe.report import cells
from sft_probe.report.cells import Column, Table
from sft_probe.report.charts import (
    BAND,
    COLOURS,
    FAINT,
    INK,
    QUIET,
    Chart,
    Missing,
    Panel,
    in_percent,
    null_line,
)
from sft_probe.report.numbers import Value, number, with_interval
from sft_probe.report.waterfall import take_apart

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matplotlib.axes import Axes

    from sft_probe.report.findings import Findings
    from sft_probe.report.waterfall import Stratum, Waterfall
    from sft_probe.report.words import Words

NAME = "waterfall"
RISE, FALL = COLOURS[0], COLOURS[1]


def waterfall_charts(found: Findings, words: Words) -> list[Chart | Missing]:
    """The figure, or why there is none; nothing at all for a study that is not decomposed."""
    taken = take_apart(found)
    if taken is None:
        return []
    if taken.missing:
        reason = words("chart.waterfall.missing", arms=words.listed(taken.missing))
        return [Missing(name=NAME, title=words("chart.waterfall.plain"), reason=reason)]
    return [
        Chart(
            name=NAME,
            title=_title(taken, words),
            subtitle=_subtitle(taken, words),
            note=words("chart.waterfall.note"),
            panels=tuple(_panel(stratum, words) for stratum in taken.strata),
            table=_table(taken, words),
        )
    ]


def _title(taken: Waterfall, words: Words) -> str:
    """The largest step of trained facts, claimed only if its interval excludes zero."""
    trained = taken.strata[-1]
    step, value = max(trained.steps.items(), key=lambda entry: entry[1].value)
    if not (isfinite(value.low) and value.low > 0):
        return words("chart.waterfall.none", total=_points(trained.total, words))
    return words(
        "chart.waterfall.most",
        step=words(f"chart.waterfall.step.{step}").lower(),
        value=_points(value, words),
        total=number(trained.total.value, "points"),
    )


def _subtitle(taken: Waterfall, words: Words) -> str:
    sizes = "; ".join(
        f"{stratum.name}: {words('page.covers_clusters', n=stratum.items, clusters=stratum.clusters)}"
        for stratum in taken.strata
    )
    seeds = words("seeds.one" if taken.seeds == 1 else "seeds.many", n=taken.seeds)
    covers = words("chart.waterfall.covers_items" if taken.seeds == 1 else "chart.waterfall.covers_seeds")
    return words("chart.waterfall.subtitle", sizes=sizes, seeds=seeds, covers=covers)


def _panel(stratum: Stratum, words: Words) -> Panel:
    rows = [("scorer", stratum.scorer), *stratum.steps.items(), ("total", stratum.total)]

    def draw(axes: Axes) -> None:
        _sham_band(axes, stratum.sham)
        null_line(axes, 0.0, vertical=True)
        reached = 0.0
        for y, (name, value) in enumerate(rows):
            inside = name in stratum.steps
            left = reached if inside else 0.0
            _bar(axes, y, left, value, hollow=name == "scorer", whole=name == "total")
            if inside:
                reached += value.value
                axes.plot([reached, reached], [y, y + 1], color=FAINT, linewidth=1, zorder=1)
            if name in stratum.context:
                at = left + stratum.context[name].value
                axes.plot(at, y, "D", color=INK, markerfacecolor="white", markersize=5, zorder=4)
        axes.set_yticks(range(len(rows)), [words(f"chart.waterfall.step.{name}") for name, _ in rows])
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        in_percent(axes, vertical=False)

    said = "; ".join(
        f"{words(f'chart.waterfall.step.{name}')} {_points(value, words)}" for name, value in rows
    )
    title = words(f"chart.waterfall.stratum.{stratum.name}")
    return Panel(title=title, draw=draw, alt=f"{title}: {said}.")


def _sham_band(axes: Axes, sham: Value) -> None:
    """What training alone does: the interval of the arm that learned nothing, zero included."""
    limits = [limit for limit in (sham.low, sham.high, sham.value) if isfinite(limit)]
    axes.axvspan(min((0.0, *limits)), max((0.0, *limits)), color=BAND, linewidth=0, zorder=0)


def _bar(axes: Axes, y: int, left: float, value: Value, *, hollow: bool, whole: bool) -> None:
    fill = QUIET if whole else RISE if value.value >= 0 else FALL
    axes.barh(
        y,
        value.value,
        left=left,
        height=0.56,
        color="none" if hollow else fill,
        edgecolor=QUIET if hollow else fill,
        linewidth=1,
        alpha=1.0 if hollow or whole else 0.75,
        zorder=2,
    )
    if isfinite(value.low):
        axes.plot([left + value.low, left + value.high], [y, y], color=INK, linewidth=1.2, zorder=3)


def _points(value: Value, words: Words) -> str:
    return with_interval(value, "points", words.interval_word())


def _table(taken: Waterfall, words: Words) -> Table:
    columns = (
        Column(key="stratum", title=words("col.stratum"), numeric=False),
        Column(key="step", title=words("col.step_of_gain"), numeric=False),
        Column(key="change", title=words("col.change"), interval=True),
        Column(key="context", title=words("col.context_path"), interval=True),
        Column(key="symmetric", title=words("col.both_orders"), interval=True),
        Column(key="seed_values", title=words("col.seed_values")),
        Column(key="n", title=words("col.items")),
        Column(key="clusters", title=words("col.clusters")),
    )
    rows = tuple(row for stratum in taken.strata for row in _rows(stratum, words))
    return Table(name=NAME, caption=words("chart.waterfall.plain"), columns=columns, rows=rows)


def _rows(stratum: Stratum, words: Words) -> Iterator[tuple[cells.Cell, ...]]:
    extra = {
        "scorer": stratum.scorer,
        "total": stratum.total,
        "sham": stratum.sham,
        "unknown": stratum.unknown,
    }
    to = words.interval_word()
    for name, value in ({"scorer": extra.pop("scorer")} | dict(stratum.steps) | extra).items():
        context, either = stratum.context.get(name), stratum.symmetric.get(name)
        yield (
            cells.text(words(f"chart.waterfall.stratum.{stratum.name}")),
            cells.text(words(f"chart.waterfall.step.{name}")),
            cells.amount(value, "points", to=to, why=words("chart.waterfall.absent")),
            cells.amount(context, "points", to=to) if context else cells.text(""),
            cells.amount(either, "points", to=to) if either else cells.text(""),
            cells.spread(stratum.per_seed.get(name, ()), "points"),
            cells.count(stratum.items),
            cells.count(stratum.clusters),
        )
