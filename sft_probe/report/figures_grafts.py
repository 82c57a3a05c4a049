"""Where it happened, by cause: what blocks of weights do alone and when reset, and what a few carry."""

from __future__ import annotations

from math import isfinite, nan
from typing import TYPE_CHECKING, Any

import pandas as pd

from sft_probe.report import cells
from sft_probe.report.cells import Column, Table
from sft_probe.report.charts import FAINT, INK, QUIET, Chart, Missing, Panel, colour, in_percent, marker
from sft_probe.report.numbers import Value, number, with_interval
from sft_probe.report.reasons import absent, seeds_phrase, subtitle
from sft_probe.report.summaries import at_end, extreme, records

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from sft_probe.report.findings import Findings
    from sft_probe.report.material import Arm
    from sft_probe.report.words import Words

PROBE = "grafting"
BENCHMARKS = "all"
EFFECTS = ("graft_sufficiency", "graft_necessity")  # left and right half of a cell
MODULES = ("embedding", "attention", "mlp", "mixer", "norm", "unembedding", "other")


def graft_charts(found: Findings, words: Words) -> list[Chart | Missing]:
    """The map and the search; nothing where a study did not ask for them."""
    if PROBE not in found.material.probes:
        return []
    rows = pd.concat([found.rows(metric) for metric in EFFECTS])
    if rows.empty:
        reason = absent(found.material, PROBE, words)
        return [Missing(name="graft_map", title=words("chart.graft_map.plain"), reason=reason)]
    path = _path_rows(found)
    return [_map(found, words, rows), *([_search(found, words, path)] if len(path) else [])]


def _map(found: Findings, words: Words, rows: pd.DataFrame) -> Chart:
    task, lost = (rows[(rows["dataset"] == BENCHMARKS) == pooled] for pooled in (False, True))
    task = found.of_main_data(task)
    panels = [
        _cells(found, words, arm, own, words(f"chart.graft_map.{what}"))
        for arm in found.arms
        for what, part in (("gain", task), ("loss", lost))
        if not (own := part[part["arm"] == arm.name]).empty
    ]
    return Chart(
        name="graft_map",
        title=_map_title(found, words, task),
        subtitle=subtitle(
            found, words, PROBE, pd.concat([task, lost.assign(dataset=words("all_benchmarks"))])
        ),
        note=words("chart.graft_map.note"),
        panels=tuple(panels),
        table=_map_table(found, words, pd.concat([task, lost])),
    )


def _map_title(found: Findings, words: Words, task: pd.DataFrame) -> str:
    alone = task[task["metric"] == EFFECTS[0]]
    if alone.empty:
        return words("chart.graft_map.plain")
    top = extreme(alone)
    whole = found.rows("graft_change")
    gain = float(whole[(whole["arm"] == top["arm"]) & (whole["dataset"] == top["dataset"])]["value"].sum())
    if not (top["ci_low"] > top["null_value"] and gain > 0):
        return words("chart.graft_map.none")
    return words(
        "chart.graft_map.most",
        arm=found.label(top["arm"]),
        module=top["module"],
        layer=int(top["layer"]),
        value=with_interval(_value(top), to=words.interval_word(), digits=1),
        gain=number(gain, digits=1),
    )


def _cells(found: Findings, words: Words, arm: Arm, rows: pd.DataFrame, what: str) -> Panel:
    """A cell per block; colours reach from minus to plus the largest effect of the panel."""
    modules = [name for name in MODULES if name in set(rows["module"])]
    layers = sorted(rows["layer"].unique())
    top = float(rows[["value", "null_value"]].abs().max().max()) or 1.0
    blocks = [
        (layers.index(row["layer"]), modules.index(row["module"]), EFFECTS.index(row["metric"]), row)
        for row in records(rows)
    ]

    def draw(axes: Axes) -> None:
        from matplotlib import colormaps
        from matplotlib.cm import ScalarMappable
        from matplotlib.colors import Normalize
        from matplotlib.patches import Rectangle

        norm, shades = Normalize(-top, top), colormaps["PuOr_r"]
        for at, column, half, row in blocks:
            left = column - 0.44 + 0.44 * half
            shade = shades(norm(row["value"]))
            axes.add_patch(Rectangle((left, at - 0.44), 0.44, 0.88, facecolor=shade, linewidth=0))
            null = shades(norm(row["null_value"]))
            axes.add_patch(Rectangle((left + 0.14, at - 0.14), 0.16, 0.28, facecolor=null, linewidth=0))
            if _beyond(row):
                frame = Rectangle((left + 0.02, at - 0.42), 0.40, 0.84, fill=False, edgecolor=INK)
                frame.set_linewidth(0.9)
                axes.add_patch(frame)
        axes.set_xlim(-0.5, len(modules) - 0.5)
        axes.set_ylim(-0.5, len(layers) - 0.5)
        axes.set_xticks(range(len(modules)), modules, fontsize=7)
        axes.set_yticks(range(len(layers)), [str(int(layer)) for layer in layers])
        axes.set_ylabel(words("axis.layer"))
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        scale = ScalarMappable(norm, shades)
        bar = axes.get_figure().colorbar(scale, ax=axes, pad=0.02, aspect=14)  # type: ignore[union-attr]
        bar.outline.set_visible(False)
        bar.ax.tick_params(length=0)

    shown = "; ".join(
        f"{row['module']} {int(row['layer'])} {words.metric(row['metric'])} {row['value']:+.2f}"
        for *_, row in blocks
        if _beyond(row)
    )
    return Panel(title=f"{arm.label}: {what}", draw=draw, alt=f"{arm.label}, {what}: {shown or 0}.")


def _beyond(row: dict[str, Any]) -> bool:
    """Whether the interval leaves out what a shuffled change does."""
    return bool(isfinite(row["ci_low"]) and not row["ci_low"] <= row["null_value"] <= row["ci_high"])


def _map_table(found: Findings, words: Words, rows: pd.DataFrame) -> Table:
    columns = (
        Column(key="arm", title=words("col.arm"), numeric=False),
        Column(key="data", title=words("col.dataset"), numeric=False),
        Column(key="layer", title=words("col.layer")),
        Column(key="module", title=words("col.module"), numeric=False),
        Column(key="measure", title=words("col.measure"), numeric=False),
        Column(key="value", title=words("col.value"), interval=True),
        Column(key="null", title=words("col.null")),
        Column(key="seed_range", title=words("col.seed_values")),
    )
    body = tuple(
        (
            cells.text(found.label(row["arm"])),
            cells.text(words("all_benchmarks") if row["dataset"] == BENCHMARKS else row["dataset"]),
            cells.count(row["layer"]),
            cells.text(row["module"]),
            cells.text(words.metric(row["metric"])),
            cells.amount(_value(row), "signed", to=words.interval_word()),
            cells.amount(row["null_value"], "signed"),
            cells.spread([row["seed_low"], row["seed_high"]][: row["seeds"]], "signed"),
        )
        for row in records(rows)
    )
    return Table(name="graft_map", caption=words("chart.graft_map.plain"), columns=columns, rows=body)


def _path_rows(found: Findings) -> pd.DataFrame:
    """Per arm and number of blocks the mean over seeds, whose blocks may differ."""
    rows = at_end(found.summary[(found.summary["metric"] == "graft_carried") & (found.summary["step"] > 0)])
    rows = rows[rows["value"].notna()]
    if rows.empty:
        return rows
    rows = rows.assign(
        size=rows["stratum"].astype(int), block=rows["module"] + " " + rows["layer"].astype(str)
    )
    grouped = rows.groupby(["arm", "size"], sort=False)
    means = grouped[["value", "ci_low", "ci_high", "null_value"]].mean()
    kept = grouped.agg(block=("block", " / ".join), dataset=("dataset", "first"), n=("n", "max"))
    clusters = grouped.agg(n_clusters=("n_clusters", "max"), seeds=("seeds", "sum"))
    return means.join(kept).join(clusters).reset_index()


def _search(found: Findings, words: Words, rows: pd.DataFrame) -> Chart:
    needed = found.rows("graft_blocks")
    title = words("chart.graft_path.plain")
    if not needed.empty:
        row = extreme(needed, largest=False)
        count = with_interval(_value(row), to=words.interval_word(), digits=0)
        title = words("chart.graft_path.few", arm=found.label(row["arm"]), count=count)
    columns = (
        Column(key="arm", title=words("col.arm"), numeric=False),
        Column(key="blocks", title=words("axis.blocks")),
        Column(key="block", title=words("col.block"), numeric=False),
        Column(key="value", title=words.metric("graft_carried"), interval=True),
        Column(key="null", title=words("col.null")),
    )
    body = tuple(
        (
            cells.text(found.label(row["arm"])),
            cells.count(row["size"]),
            cells.text(row["block"]),
            cells.amount(_value(row), "share", to=words.interval_word()),
            cells.amount(row["null_value"], "share"),
        )
        for row in records(rows)
    )
    return Chart(
        name="graft_path",
        title=title,
        subtitle=words("chart.graft_path.subtitle", seeds=seeds_phrase(found.material, words)),
        note=words("chart.graft_path.note"),
        panels=(_curve(found, words, rows),),
        table=Table(name="graft_path", caption=words("chart.graft_path.plain"), columns=columns, rows=body),
        legend=tuple(arm for arm in found.arms if arm.name in set(rows["arm"])),
    )


def _curve(found: Findings, words: Words, rows: pd.DataFrame) -> Panel:
    def draw(axes: Axes) -> None:
        from matplotlib.ticker import MaxNLocator

        for arm in found.arms:
            own = rows[rows["arm"] == arm.name].sort_values("size")
            axes.plot(own["size"], own["null_value"], color=QUIET, linewidth=1, linestyle=(0, (4, 3)))
            axes.plot(
                own["size"], own["value"], color=colour(arm), marker=marker(arm), markersize=4, zorder=3
            )
            axes.vlines(
                own["size"], own["ci_low"], own["ci_high"], color=colour(arm), linewidth=1.1, alpha=0.6
            )
        axes.axhline(1, color=FAINT, linewidth=1, zorder=0)
        axes.set_ylim(bottom=0)
        axes.set_xlabel(words("axis.blocks"))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        in_percent(axes, vertical=True)

    said = "; ".join(
        f"{found.label(row['arm'])} {row['size']}: {100 * row['value']:.0f} %" for row in records(rows)
    )
    title = f"{words.metric('graft_carried')}, %"
    return Panel(title=title, draw=draw, alt=f"{title}: {said}.", size=(4.6, 2.8))


def _value(row: dict[str, Any]) -> Value:
    return Value(row["value"], row["ci_low"], row["ci_high"]) if isfinite(row["value"]) else Value(nan)
