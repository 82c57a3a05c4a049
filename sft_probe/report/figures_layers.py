"""Layer by layer: geometry, the common shift, readouts, lens and attention, each with null and floor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from sft_probe.report import cells
from sft_probe.report.cells import Column, Table
from sft_probe.report.charts import Chart, Missing
from sft_probe.report.numbers import Value, kind_of, number, with_interval
from sft_probe.report.panels import heatmap, over_places
from sft_probe.report.reasons import absent, subtitle
from sft_probe.report.summaries import records

if TYPE_CHECKING:
    from sft_probe.report.findings import Findings
    from sft_probe.report.words import Words


class Shown(NamedTuple):
    """One panel. module: which rows. floor: metric and module of what unrelated data would give."""

    metric: str
    module: str = ""
    floor: tuple[str, str] | None = None


@dataclass(frozen=True, kw_only=True)
class Profile:
    """A chart of curves over layers. leading: the panels among which the title looks for what moved most."""

    probe: str
    shown: tuple[Shown, ...]
    leading: int = 1


PROFILES = (
    Profile(
        probe="representation_geometry",
        shown=tuple(Shown(m, "", (m, "permuted")) for m in ("procrustes_angle", "rsa", "svcca")),
    ),
    Profile(
        probe="shift_direction",
        shown=(
            Shown("shift_length"),
            Shown("shift_common_share"),
            Shown("shift_added_gain", "", ("shift_random_gain", "")),
        ),
    ),
    Profile(
        probe="layer_readouts",
        shown=(
            Shown("readout_transfer_accuracy", "", ("readout_control_accuracy", "")),
            Shown("readout_refit_accuracy", "", ("readout_control_accuracy", "")),
            Shown("readout_codelength"),
        ),
    ),
    Profile(
        probe="logit_lens",
        shown=(
            Shown("lens_gold_logprob", "logit", ("lens_gold_logprob", "permuted")),
            *(Shown("lens_gold_logprob", lens) for lens in ("frozen", "refit")),
        ),
        leading=3,
    ),
    Profile(
        probe="attention_drift",
        shown=(
            Shown("attention_moved_share"),
            *(Shown("attention_share_change", kind) for kind in ("first", "instruction", "context")),
        ),
    ),
)


MAPS = (("representation_geometry", "procrustes_angle"), ("attention_drift", "attention_moved_share"))
"""Probe and metric of the maps of layer and step; 0 where nothing happened."""


def layer_charts(found: Findings, words: Words) -> list[Chart | Missing]:
    """A chart for every probe of the list that the study asked for, and heads as a map."""
    asked = {*found.material.probes, *found.material.measurements["probe"].unique()}
    charts = [_profile(found, words, profile) for profile in PROFILES if profile.probe in asked]
    maps = [_step_map(found, words, probe, metric) for probe, metric in MAPS]
    return [*charts, *(chart for chart in (*maps, _head_map(found, words)) if chart)]


def _profile(found: Findings, words: Words, profile: Profile) -> Chart | Missing:
    shown = {one: rows for one in profile.shown if not (rows := _rows(found, profile, *one[:2])).empty}
    if not shown:
        return Missing(
            name=profile.probe, title=words.probe(profile.probe), reason=_reason(found, words, profile.probe)
        )
    leading = pd.concat(
        [shown[one] for one in profile.shown[: profile.leading] if one in shown] or [*shown.values()]
    )
    return Chart(
        name=profile.probe,
        title=_title(found, words, leading),
        subtitle=subtitle(found, words, profile.probe, leading),
        note=words(f"chart.{profile.probe}.note"),
        panels=tuple(
            over_places(
                _label(words, one),
                found.arms,
                rows,
                "layer",
                words("axis.layer"),
                words,
                floor=_rows(found, profile, *one.floor) if one.floor else None,
            )
            for one, rows in shown.items()
        ),
        table=_table(found, words, profile, shown),
        legend=found.arms,
    )


def _rows(found: Findings, profile: Profile, metric: str, module: str) -> pd.DataFrame:
    rows = found.rows(metric, probe=profile.probe)
    return rows[(rows["module"] == module) & (rows["layer"] >= 0)]


def _title(found: Findings, words: Words, rows: pd.DataFrame) -> str:
    """Where a curve is furthest from its null."""
    away = (rows["value"] - rows["null_value"]).abs()
    if not np.isfinite(away).any():
        return words.probe(str(rows["probe"].iloc[0]))
    row = rows.iloc[int(np.nanargmax(away))]
    kind = kind_of(str(row["metric"]))
    value = Value(row["value"], row["ci_low"], row["ci_high"])
    return words(
        "chart.layers.most",
        metric=_label(words, Shown(str(row["metric"]), str(row["module"]))),
        layer=int(row["layer"]),
        arm=found.label(row["arm"]),
        value=with_interval(value, kind, to=words.interval_word()),
        null=number(float(row["null_value"]), kind),
    )


def _label(words: Words, one: Shown) -> str:
    name = words.metric(one.metric)
    return f"{name}: {words(f'module.{one.module}')}" if one.module else name


def _reason(found: Findings, words: Words, probe: str) -> str:
    about = found.material.probes.get(probe, {})
    if reason := about.get("not_applicable"):
        return words("absent.not_applicable", why=reason)
    return absent(found.material, probe, words)


def _step_map(found: Findings, words: Words, probe: str, metric: str) -> Chart | None:
    """When each layer moved; none for a study that looked once."""
    rows = found.rows(metric, end=False, probe=probe)
    rows = rows[(rows["step"] > 0) & (rows["module"] == "") & (rows["layer"] >= 0)]
    if rows["step"].nunique() < 2:
        return None
    grids = {
        arm: own.pivot_table(index="layer", columns="step", values="value")
        for arm in found.arms
        if not (own := rows[rows["arm"] == arm.name]).empty
    }
    half = rows[rows["value"] >= rows["value"].max() / 2]
    half = half.sort_values(["step", "value"], ascending=[True, False])
    plain = words("chart.step_map.plain", metric=words.metric(metric))
    scale = 100 if kind_of(metric) == "share" else 1
    return Chart(
        name=f"{metric}_map",
        title=words(
            "chart.step_map.first",
            metric=words.metric(metric),
            arm=found.label(half["arm"].iloc[0]),
            layer=int(half["layer"].iloc[0]),
            step=int(half["step"].iloc[0]),
        ),
        subtitle=subtitle(found, words, probe, rows),
        note=words("chart.head_map.note"),
        panels=tuple(
            heatmap(
                arm,
                scale * grid,
                scale * float(rows["value"].max()),
                (words("axis.step"), words("axis.layer")),
                words("alt.map", arm=arm.label, table=plain),
            )
            for arm, grid in grids.items()
        ),
        table=_cells(found, words, f"{metric}_map", plain, rows, "step"),
    )


def _head_map(found: Findings, words: Words) -> Chart | None:
    rows = found.rows("attention_moved_by_head_share", probe="attention_drift")
    if rows.empty:
        return None
    rows = rows.assign(head=rows["module"].str.removeprefix("head ").astype(int))
    grids = {
        arm: own.pivot_table(index="layer", columns="head", values="value")
        for arm in found.arms
        if not (own := rows[rows["arm"] == arm.name]).empty
    }
    plain, axes = words("chart.head_map.plain"), (words("axis.head"), words("axis.layer"))
    top = 100 * float(rows["value"].max())
    row = rows.iloc[int(np.nanargmax(rows["value"]))]
    return Chart(
        name="head_map",
        title=words(
            "chart.head_map.most",
            arm=found.label(row["arm"]),
            head=int(row["head"]),
            layer=int(row["layer"]),
            value=with_interval(
                Value(row["value"], row["ci_low"], row["ci_high"]), "share", to=words.interval_word()
            ),
        ),
        subtitle=subtitle(found, words, "attention_drift", rows),
        note=words("chart.head_map.note"),
        panels=tuple(
            heatmap(arm, 100 * grid, top, axes, words("alt.map", arm=arm.label, table=plain))
            for arm, grid in grids.items()
        ),
        table=_cells(found, words, "head_map", plain, rows, "head"),
    )


def _cells(found: Findings, words: Words, name: str, caption: str, rows: pd.DataFrame, across: str) -> Table:
    """A row for each cell of a map."""
    kind = kind_of(str(rows["metric"].iloc[0]))
    columns = (
        Column(key="arm", title=words("col.arm"), numeric=False),
        Column(key="layer", title=words("axis.layer")),
        Column(key=across, title=words(f"axis.{across}")),
        Column(key="value", title=words("col.value"), interval=True),
    )
    body = tuple(
        (
            cells.text(found.label(row["arm"])),
            cells.count(row["layer"]),
            cells.count(row[across]),
            cells.amount(Value(row["value"], row["ci_low"], row["ci_high"]), kind, to=words.interval_word()),
        )
        for row in records(rows)
    )
    return Table(name=name, caption=caption, columns=columns, rows=body)


def _table(found: Findings, words: Words, profile: Profile, shown: dict[Shown, pd.DataFrame]) -> Table:
    columns = (
        Column(key="measure", title=words("col.measure"), numeric=False),
        Column(key="arm", title=words("col.arm"), numeric=False),
        Column(key="layer", title=words("axis.layer")),
        Column(key="value", title=words("col.value"), interval=True),
        Column(key="null", title=words("col.null")),
        Column(key="floor", title=words("col.floor")),
        Column(key="seed_range", title=words("col.seed_values")),
    )
    rows = []
    for one, frame in shown.items():
        kind = kind_of(one.metric)
        below = _rows(found, profile, *one.floor) if one.floor else None
        floor = {} if below is None else below.set_index(["arm", "layer"])["value"].to_dict()
        rows += [
            (
                cells.text(_label(words, one)),
                cells.text(found.label(row["arm"])),
                cells.count(row["layer"]),
                cells.amount(
                    Value(row["value"], row["ci_low"], row["ci_high"]), kind, to=words.interval_word()
                ),
                cells.amount(row["null_value"], kind),
                cells.amount(floor.get((row["arm"], row["layer"]), float("nan")), kind),
                cells.spread([row["seed_low"], row["seed_high"]][: row["seeds"]], kind),
            )
            for row in records(frame)
        ]
    return Table(name=profile.probe, caption=words.probe(profile.probe), columns=columns, rows=tuple(rows))
