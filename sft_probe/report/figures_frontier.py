"""Arms compared where they learned equally much, what foretells forgetting, and arms against domains."""

from __future__ import annotations

from math import isfinite, nan
from typing import TYPE_CHECKING, Any

import numpy as np

from sft_probe.report import cells
from sft_probe.report.cells import Column, Table
from sft_probe.report.charts import (
    BAND,
    INK,
    QUIET,
    Chart,
    Missing,
    Panel,
    colour,
    in_percent,
    null_line,
)
from sft_probe.report.frontier import MIXTURES, STEPS, Frontier, Path, frontier
from sft_probe.report.numbers import Value, number, with_interval
from sft_probe.report.panels import cross
from sft_probe.report.predictors import Comparison, compare
from sft_probe.report.reasons import absent, seeds_phrase
from sft_probe.report.summaries import records

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import pandas as pd
    from matplotlib.axes import Axes

    from sft_probe.report.findings import Findings
    from sft_probe.report.material import Arm
    from sft_probe.report.words import Words

DOMAINS = "domain_generalisation"
CHANGE = "domain_logprob_change"
BESIDE = ("domain_accuracy", "domain_accuracy_change", "domain_calibration_error")


def frontier_charts(found: Findings, words: Words) -> list[Chart | Missing]:
    """What a study has of the three."""
    return [*_matched(found, words), *_foretold(found, words), *_transfer(found, words)]


def _matched(found: Findings, words: Words) -> Iterator[Chart | Missing]:
    made = frontier(found)
    if made is None:
        return
    if not isfinite(made.level):
        yield Missing(
            name="matched", title=words("chart.matched.plain"), reason=words("chart.matched.unlearned")
        )
        return
    kinds = [kind for kind in (STEPS, MIXTURES) if any(path.kind == kind for path in made.paths)]
    yield Chart(
        name="matched",
        title=_matched_title(found, made, words),
        subtitle=words(
            "chart.matched.subtitle",
            level=number(made.level, "size"),
            seeds=seeds_phrase(found.material, words),
        ),
        note=words("chart.matched.note"),
        panels=tuple(_path_panel(found, made, kind, words) for kind in kinds),
        table=_matched_table(found, made, words),
        legend=found.arms,
    )


def _matched_title(found: Findings, made: Frontier, words: Words) -> str:
    """The arm that differs most from the reference at equal learning, if its interval excludes zero."""
    shown = [m for m in made.matched if isfinite(m.against.low) and (m.against.low > 0 or m.against.high < 0)]
    if not shown:
        return words("chart.matched.none", reference=found.label(made.reference))
    most = max(shown, key=lambda m: abs(m.against.value))
    return words(
        "chart.matched.differs",
        arm=found.label(most.path.arm),
        reference=found.label(made.reference),
        change=with_interval(most.against, "points", words.interval_word()),
    )


def _path_panel(found: Findings, made: Frontier, kind: str, words: Words) -> Panel:
    arms = {arm.name: arm for arm in found.arms}
    paths = [path for path in made.paths if path.kind == kind]
    matched = [m for m in made.matched if m.path.kind == kind]

    def draw(axes: Axes) -> None:
        null_line(axes, 0.0)
        axes.axvline(made.level, color=QUIET, linewidth=0.8, linestyle=":")
        width = max(float(np.std(path.kept.drawn[:, 0])) for path in paths)
        axes.axhspan(-1.96 * width, 1.96 * width, color=BAND, linewidth=0, zorder=0)
        for path in paths:
            _draw_path(axes, arms[path.arm], path)
        for m in matched:
            cross(axes, arms[m.path.arm], m.learned, m.kept)
        in_percent(axes, vertical=True)
        in_percent(axes, vertical=False)
        axes.set_xlabel(words("axis.learned_above_base"))
        axes.set_ylabel(words("axis.kept_of_base"))

    said = "; ".join(f"{arms[m.path.arm].label} {with_interval(m.kept, 'points')}" for m in matched)
    title = words(f"chart.matched.over.{kind}")
    return Panel(title=title, draw=draw, alt=f"{title}: {said}.", size=(4.6, 3.4))


def _draw_path(axes: Axes, arm: Arm, path: Path) -> None:
    x, y = (curve.values - curve.values[0] for curve in (path.learned, path.kept))
    axes.plot(x, y, color=colour(arm), marker=".", markersize=4, linewidth=1.2, alpha=0.7)


def _matched_table(found: Findings, made: Frontier, words: Words) -> Table:
    columns = (
        Column(key="path", title=words("col.path"), numeric=False),
        Column(key="arm", title=words("col.arm"), numeric=False),
        Column(key="where", title=words("col.where")),
        Column(key="learned", title=words("col.learned"), interval=True),
        Column(key="kept", title=words("col.kept"), interval=True),
        Column(
            key="against",
            title=words("col.against", arm=found.label(made.reference)),
            interval=True,
        ),
        Column(key="hypervolume", title=words("col.hypervolume"), interval=True),
    )
    to = words.interval_word()
    reached = {(m.path.kind, m.path.arm) for m in made.matched}
    rows: list[tuple[cells.Cell, ...]] = [
        (
            cells.text(words(f"chart.matched.over.{m.path.kind}")),
            cells.text(found.label(m.path.arm)),
            cells.amount(m.where),
            cells.amount(m.learned, "points", to=to),
            cells.amount(m.kept, "points", to=to),
            cells.amount(m.against, "points", to=to, why=words("why.reference")),
            cells.amount(m.volume, "share", to=to),
        )
        for m in made.matched
    ]
    why = words("why.not_reached")
    rows += [
        (
            cells.text(words(f"chart.matched.over.{path.kind}")),
            cells.text(found.label(path.arm)),
            *(cells.amount(nan, why=why) for _ in range(5)),
        )
        for path in made.paths
        if (path.kind, path.arm) not in reached
    ]
    return Table(name="matched", caption=words("chart.matched.plain"), columns=columns, rows=tuple(rows))


def _foretold(found: Findings, words: Words) -> Iterator[Chart | Missing]:
    compared = compare(found.material)
    if not compared:
        return
    yield Chart(
        name="predictors",
        title=_foretold_title(compared[0], words),
        subtitle=words("chart.predictors.subtitle", runs=compared[0].runs, arms=compared[0].arms),
        note=words("chart.predictors.note"),
        panels=tuple(_foretold_panel(comparison, words) for comparison in compared),
        table=_foretold_table(compared, words),
    )


def _foretold_title(comparison: Comparison, words: Words) -> str:
    """The best predictor, if it beats chance and every other one in 95 % of the draws."""
    name, best = max(
        comparison.by_predictor.items(),
        key=lambda entry: entry[1].r2.value if isfinite(entry[1].r2.value) else -np.inf,
    )
    if not best.r2.low > max(0.0, comparison.null):
        return words("chart.predictors.none")
    key = "chart.predictors.best" if best.best >= 0.95 else "chart.predictors.leads"
    value = with_interval(_of(best.r2), to=words.interval_word(), digits=2)
    return words(
        key, predictor=words(f"predictor.{name}"), outcome=words(f"outcome.{comparison.outcome}"), r2=value
    )


def _of(interval: object) -> Value:
    return Value(*(float(getattr(interval, name)) for name in ("value", "low", "high")))


def _foretold_panel(comparison: Comparison, words: Words) -> Panel:
    names = list(comparison.by_predictor)

    def draw(axes: Axes) -> None:
        null_line(axes, 0.0, vertical=True)
        if isfinite(comparison.null):
            axes.axvspan(-1.05, max(comparison.null, -1.0), color=BAND, linewidth=0, zorder=0)
        for y, name in enumerate(names):
            value = _of(comparison.by_predictor[name].r2)
            if isfinite(value.low):
                axes.plot([max(value.low, -1.0), value.high], [y, y], color=INK, linewidth=1.6)
            if isfinite(value.value):
                axes.plot(max(value.value, -1.0), y, "o", color=INK, markersize=5)
            axes.plot(comparison.by_predictor[name].spearman.value, y + 0.25, "D", color=QUIET, markersize=4)
        axes.set_yticks(range(len(names)), [words(f"predictor.{name}") for name in names])
        axes.set_ylim(len(names) - 0.4, -0.6)
        axes.set_xlim(-1.05, 1.05)
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)

    title = words(f"outcome.{comparison.outcome}")
    said = "; ".join(
        f"{words(f'predictor.{name}')} {with_interval(_of(comparison.by_predictor[name].r2), digits=2)}"
        for name in names
    )
    return Panel(title=title, draw=draw, alt=f"{title}: {said}.", size=(3.9, 2.8))


def _foretold_table(compared: tuple[Comparison, ...], words: Words) -> Table:
    columns = (
        Column(key="outcome", title=words("col.outcome"), numeric=False),
        Column(key="predictor", title=words("col.predictor"), numeric=False),
        Column(key="r2", title=words("col.r2"), interval=True),
        Column(key="spearman", title=words("col.spearman"), interval=True),
        Column(key="best", title=words("col.best")),
        Column(key="null", title=words("col.null")),
        Column(key="runs", title=words("col.runs")),
    )
    to = words.interval_word()
    rows = tuple(
        (
            cells.text(words(f"outcome.{comparison.outcome}")),
            cells.text(words(f"predictor.{name}")),
            cells.amount(_of(foretold.r2), to=to, why=foretold.r2.why),
            cells.amount(_of(foretold.spearman), to=to, why=foretold.spearman.why),
            cells.amount(foretold.best, "share"),
            cells.amount(comparison.null),
            cells.count(comparison.runs),
        )
        for comparison in compared
        for name, foretold in comparison.by_predictor.items()
    )
    return Table(name="predictors", caption=words("chart.predictors.plain"), columns=columns, rows=rows)


def _transfer(found: Findings, words: Words) -> Iterator[Chart | Missing]:
    rows = found.rows(CHANGE, probe=DOMAINS)
    if rows.empty:
        if (about := found.material.probes.get(DOMAINS)) is not None:
            why = about.get("not_applicable")
            reason = (
                words("absent.not_applicable", why=why) if why else absent(found.material, DOMAINS, words)
            )
            yield Missing(name="transfer", title=words("chart.transfer.plain"), reason=reason)
        return
    rows = rows[rows["dataset"] != ""]
    domains = list(dict.fromkeys(rows["dataset"]))
    yield Chart(
        name="transfer",
        title=_transfer_title(found, rows, words),
        subtitle=words(
            "chart.transfer.subtitle",
            n=f"{int(rows['n'].max()):,}",
            seeds=seeds_phrase(found.material, words),
        ),
        note=words("chart.transfer.note"),
        panels=(_transfer_panel(found, rows, domains, words),),
        table=_transfer_table(found, rows, words),
    )


def _transfer_title(found: Findings, rows: pd.DataFrame, words: Words) -> str:
    """The largest loss on any domain that its interval shows, at a level for all arms and domains."""
    fallen = [row for row in records(rows) if row["value"] + 1.5 * (row["ci_high"] - row["value"]) < 0]
    if not fallen:
        return words("chart.transfer.none")
    worst = min(fallen, key=lambda row: float(row["value"]))
    change = with_interval(
        Value(worst["value"], worst["ci_low"], worst["ci_high"]), "signed", words.interval_word()
    )
    return words(
        "chart.transfer.worst", arm=found.label(worst["arm"]), domain=worst["dataset"], change=change
    )


def _transfer_panel(found: Findings, rows: pd.DataFrame, domains: list[str], words: Words) -> Panel:
    arms = [arm for arm in found.arms if arm.name in set(rows["arm"])]
    grid = rows.pivot_table(index="arm", columns="dataset", values="value")
    grid = grid.reindex(index=[arm.name for arm in arms], columns=domains)
    low = rows.pivot_table(index="arm", columns="dataset", values="ci_low").reindex_like(grid)
    high = rows.pivot_table(index="arm", columns="dataset", values="ci_high").reindex_like(grid)

    def draw(axes: Axes) -> None:
        values = grid.to_numpy(float)
        top = float(np.nanmax(np.abs(values))) or 1.0
        axes.imshow(
            np.sign(values) * np.sqrt(np.abs(values) / top), cmap="PuOr", vmin=-1.6, vmax=1.6, aspect="auto"
        )
        for y, arm in enumerate(grid.index):
            for x, domain in enumerate(grid.columns):
                unsure = bool(low.loc[arm, domain] <= 0 <= high.loc[arm, domain])
                text = number(float(values[y, x]), "signed")
                axes.text(
                    x, y, f"({text})" if unsure else text, ha="center", va="center", fontsize=8, color=INK
                )
        axes.set_xticks(range(len(domains)), domains)
        axes.set_yticks(range(len(arms)), [arm.label for arm in arms])
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)

    said = "; ".join(
        f"{found.label(row['arm'])} {row['dataset']} {number(row['value'], 'signed')}"
        for row in records(rows)
    )
    title = words.metric(CHANGE)
    size = (2.2 + 1.1 * len(domains), 1.2 + 0.45 * len(arms))
    return Panel(title=title, draw=draw, alt=f"{title}: {said}.", size=size)


def _transfer_table(found: Findings, rows: pd.DataFrame, words: Words) -> Table:
    columns = (
        Column(key="domain", title=words("col.domain"), numeric=False),
        Column(key="arm", title=words("col.arm"), numeric=False),
        Column(key=CHANGE, title=words.metric(CHANGE), interval=True),
        Column(key="accuracy", title=words.metric(BESIDE[0]), interval=True),
        Column(key="accuracy_change", title=words.metric(BESIDE[1]), interval=True),
        Column(key="calibration_before", title=words("col.calibration_before")),
        Column(key="calibration_after", title=words("col.calibration_after")),
        Column(key="n", title=words("col.items")),
    )
    beside = {metric: _by_place(found.rows(metric, probe=DOMAINS)) for metric in BESIDE}
    to, none = words.interval_word(), words("why.no_choices")

    def line(row: Mapping[str, Any]) -> tuple[cells.Cell, ...]:
        accuracy, change, error = (beside[m].get((row["arm"], row["dataset"]), {}) for m in BESIDE)
        return (
            cells.text(str(row["dataset"])),
            cells.text(found.label(str(row["arm"]))),
            cells.amount(_limits(row), "signed", to=to),
            cells.amount(_limits(accuracy), "share", to=to, why=none),
            cells.amount(_limits(change), "points", to=to, why=none),
            cells.amount(float(error.get("null_value", nan)), why=none),
            cells.amount(float(error.get("value", nan)), why=none),
            cells.count(row["n"]),
        )

    return Table(
        name="transfer",
        caption=words("chart.transfer.plain"),
        columns=columns,
        rows=tuple(line(row) for row in records(rows)),
    )


def _by_place(rows: pd.DataFrame) -> dict[tuple[str, str], Mapping[str, float]]:
    return {(str(row["arm"]), str(row["dataset"])): row for row in records(rows)}


def _limits(row: Mapping[str, float]) -> Value:
    return Value(*(float(row.get(name, nan)) for name in ("value", "ci_low", "ci_high")))
