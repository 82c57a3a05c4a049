"""Where it happened: drift by layer and over time, weight change by layer and module, KL by position."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING, Any

from sft_probe.report import cells
from sft_probe.report.cells import Column, Table
from sft_probe.report.charts import Chart, Missing
from sft_probe.report.figures_grafts import graft_charts
from sft_probe.report.figures_layers import layer_charts
from sft_probe.report.figures_weights import weight_charts
from sft_probe.report.numbers import Value, number, with_interval
from sft_probe.report.panels import heatmap, over_places
from sft_probe.report.reasons import absent, subtitle
from sft_probe.report.summaries import extreme, records

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

    from sft_probe.report.findings import Findings
    from sft_probe.report.words import Words

DRIFT = ("relative_drift", "cka", "cka_zscored")


def where(found: Findings, words: Words) -> list[Chart | Missing]:
    """The figures of the section Where."""
    return [
        _profile(found, words),
        _drift_map(found, words),
        _weights(found, words),
        *weight_charts(found, words),
        *graft_charts(found, words),
        _positions(found, words),
        *layer_charts(found, words),
    ]


def peak(found: Findings, metric: str = "relative_drift") -> dict[str, dict[str, Any]]:
    """By arm: the row of the layer that moved most at the end of training."""
    rows = found.rows(metric)
    return {str(arm): extreme(own) for arm, own in rows.groupby("arm", sort=False)}


def _profile(found: Findings, words: Words) -> Chart | Missing:
    shown = {metric: rows for metric in DRIFT if not (rows := found.rows(metric)).empty}
    if not shown:
        return _missing("drift_profile", "representation_drift", found, words)
    return Chart(
        name="drift_profile",
        title=_profile_title(found, words),
        subtitle=subtitle(found, words, "representation_drift", next(iter(shown.values()))),
        note=words("chart.drift_profile.note"),
        panels=tuple(
            over_places(words.metric(metric), found.arms, rows, "layer", words("axis.layer"), words)
            for metric, rows in shown.items()
        ),
        table=_places_table(found, words, "drift_profile", shown, "layer"),
        legend=found.arms,
    )


def _profile_title(found: Findings, words: Words) -> str:
    peaks = peak(found)
    if not peaks:
        return words("chart.drift_profile.plain")
    arm, row = max(peaks.items(), key=lambda entry: float(entry[1]["value"]))
    return words(
        "chart.drift_profile.most",
        arm=found.label(arm),
        layer=int(row["layer"]),
        value=with_interval(Value(row["value"], row["ci_low"], row["ci_high"]), to=words.interval_word()),
    )


def _drift_map(found: Findings, words: Words) -> Chart | Missing:
    rows = found.rows("relative_drift", end=False)
    rows = rows[rows["step"] > 0]
    if rows["step"].nunique() < 2:
        reason = (
            words("absent.timeline") if len(rows) else absent(found.material, "representation_drift", words)
        )
        return Missing(name="drift_map", title=words("chart.drift_map.plain"), reason=reason)
    grids = {
        arm: rows[rows["arm"] == arm.name].pivot_table(index="layer", columns="step", values="value")
        for arm in found.arms
    }
    return Chart(
        name="drift_map",
        title=_map_title(found, words),
        subtitle=subtitle(found, words, "representation_drift", rows),
        note=words("chart.drift_map.note"),
        panels=tuple(
            heatmap(
                arm,
                grid,
                float(rows["value"].max()),
                (words("axis.step"), words("axis.layer")),
                words("alt.map", arm=arm.label, table=words("chart.drift_map.plain")),
            )
            for arm, grid in grids.items()
            if not grid.empty
        ),
        table=_map_table(found, words, rows),
    )


def _map_title(found: Findings, words: Words) -> str:
    layers = {int(row["layer"]) for row in peak(found).values()}
    if len(layers) == 1:
        return words("chart.drift_map.same", layer=layers.pop())
    return words("chart.drift_map.differ", low=min(layers), high=max(layers))


def _map_table(found: Findings, words: Words, rows: pd.DataFrame) -> Table:
    steps = sorted(rows["step"].unique())
    columns = (
        Column(key="arm", title=words("col.arm"), numeric=False),
        Column(key="layer", title=words("col.layer")),
        *(Column(key=f"step_{step}", title=words("col.step", step=step), interval=True) for step in steps),
    )
    body = []
    for _, own in rows.groupby(["arm", "layer"], sort=False):
        by_step = {row["step"]: row for row in records(own)}
        arm, layer = records(own[["arm", "layer"]])[0].values()
        values = [_value(by_step.get(step)) for step in steps]
        body.append(
            (
                cells.text(found.label(arm)),
                cells.count(layer),
                *(cells.amount(value, to=words.interval_word()) for value in values),
            )
        )
    return Table(name="drift_map", caption=words("chart.drift_map.plain"), columns=columns, rows=tuple(body))


def _weights(found: Findings, words: Words) -> Chart | Missing:
    rows = found.rows("relative_norm")
    rows = rows[(rows["module"] != "all") & (rows["layer"] >= 0)]
    if rows.empty:
        return _missing("weight_map", "weight_change", found, words)
    panels = []
    for arm in found.arms:
        grid = rows[rows["arm"] == arm.name].pivot_table(index="layer", columns="module", values="value")
        if not grid.empty:
            alt = words("alt.map", arm=arm.label, table=words("chart.weight_map.plain"))
            labels = (words("axis.module"), words("axis.layer"))
            panels.append(heatmap(arm, 100 * grid, 100 * float(rows["value"].max()), labels, alt))
    top = extreme(rows)
    return Chart(
        name="weight_map",
        title=words(
            "chart.weight_map.most",
            arm=found.label(top["arm"]),
            module=top["module"],
            layer=int(top["layer"]),
            value=number(top["value"], "share"),
        ),
        subtitle=subtitle(found, words, "weight_change", rows.assign(n=1)),
        note=words("chart.weight_map.note"),
        panels=tuple(panels),
        table=_weight_table(found, words),
    )


def _weight_table(found: Findings, words: Words) -> Table:
    columns = (
        Column(key="arm", title=words("col.arm"), numeric=False),
        Column(key="layer", title=words("col.layer")),
        Column(key="module", title=words("col.module"), numeric=False),
        Column(key="relative_norm", title=words.metric("relative_norm")),
        Column(key="relative_norm_seeds", title=words("col.seed_values")),
        Column(key="stable_rank", title=words.metric("stable_rank")),
    )
    ranks = found.rows("stable_rank").set_index(["arm", "layer", "module"])["value"]
    rows = []
    for row in records(found.rows("relative_norm")):
        place = (row["arm"], row["layer"], row["module"])
        rows.append(
            (
                cells.text(found.label(row["arm"])),
                cells.count(row["layer"]) if row["layer"] >= 0 else cells.text(words("all")),
                cells.text(words("all") if row["module"] == "all" else row["module"]),
                cells.amount(row["value"], "share"),
                cells.spread([row["seed_low"], row["seed_high"]][: row["seeds"]], "share"),
                cells.amount(float(ranks.get(place, float("nan"))), why=words("why.undefined")),
            )
        )
    return Table(
        name="weight_map", caption=words("chart.weight_map.plain"), columns=columns, rows=tuple(rows)
    )


def _positions(found: Findings, words: Words) -> Chart | Missing:
    rows = found.rows("kl_at_position")
    if rows.empty:
        return _missing("kl_position", "token_shift", found, words)
    rows = rows.assign(position=rows["module"].str.split().str[-1].astype(int))  # behind whose answers
    return Chart(
        name="kl_position",
        title=_positions_title(found, words),
        subtitle=subtitle(found, words, "kl", rows),
        note=words("chart.kl_position.note"),
        panels=(
            over_places(
                words.metric("kl_at_position"), found.arms, rows, "position", words("axis.position"), words
            ),
        ),
        table=_places_table(found, words, "kl_position", {"kl_at_position": rows}, "position"),
        legend=found.arms,
    )


def _positions_title(found: Findings, words: Words) -> str:
    depth = found.rows("kl_half_depth")
    if depth.empty:
        return words("chart.kl_position.plain")
    row = extreme(depth, largest=False)
    value = Value(row["value"], row["ci_low"], row["ci_high"])
    return words(
        "chart.kl_position.half",
        arm=found.label(row["arm"]),
        depth=with_interval(value, to=words.interval_word(), digits=1),
    )


def _places_table(
    found: Findings, words: Words, name: str, shown: dict[str, pd.DataFrame], place: str
) -> Table:
    columns = (
        Column(key="measure", title=words("col.measure"), numeric=False),
        Column(key="arm", title=words("col.arm"), numeric=False),
        Column(key=place, title=words(f"axis.{place}")),
        Column(key="value", title=words("col.value"), interval=True),
        Column(key="null", title=words("col.null")),
        Column(key="seed_range", title=words("col.seed_values")),
    )
    rows = tuple(
        (
            cells.text(words.metric(metric)),
            cells.text(found.label(row["arm"])),
            cells.count(row[place]),
            cells.amount(_value(row), to=words.interval_word()),
            cells.amount(row["null_value"]),
            cells.spread([row["seed_low"], row["seed_high"]][: row["seeds"]]),
        )
        for metric, frame in shown.items()
        for row in records(frame)
    )
    return Table(name=name, caption=words(f"chart.{name}.plain"), columns=columns, rows=rows)


def _value(row: Mapping[str, float] | None) -> Value:
    if row is None or not isfinite(row["value"]):
        return Value(float("nan"))
    return Value(row["value"], row["ci_low"], row["ci_high"])


def _missing(name: str, probe: str, found: Findings, words: Words) -> Missing:
    return Missing(name=name, title=words(f"chart.{name}.plain"), reason=absent(found.material, probe, words))
