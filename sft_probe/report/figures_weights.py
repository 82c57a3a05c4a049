"""Where it happened, in the weights: change by layer and step, spectra, intruders, lines between models."""

from __future__ import annotations

from math import isfinite, nan
from typing import TYPE_CHECKING

import pandas as pd

from sft_probe.report import cells
from sft_probe.report.cells import Column, Table
from sft_probe.report.charts import Chart, Missing
from sft_probe.report.numbers import DASH, Value, number, with_interval
from sft_probe.report.panels import Dot, curves, dots, heatmap, matrix
from sft_probe.report.reasons import absent, seeds_phrase, subtitle
from sft_probe.report.summaries import extreme, records

if TYPE_CHECKING:
    from sft_probe.report.findings import Findings
    from sft_probe.report.words import Words

ALL = "all"
SHRUNK = ("drift", "task_loss")


def weight_charts(found: Findings, words: Words) -> list[Chart | Missing]:
    """The figures about weights, those of probes that a study did not ask for left out."""
    made = [
        _steps(found, words),
        _spectra(found, words),
        _intruders(found, words),
        _shrunk(found, words),
        _line(found, words),
        _alike(found, words),
    ]
    return [chart for chart in made if chart is not None]


def _steps(found: Findings, words: Words) -> Chart | Missing | None:
    """Layer by step: relative change, with the change that another seed makes marked on the scale."""
    rows = found.rows("relative_norm", end=False)
    rows = rows[(rows["module"] == ALL) & (rows["layer"] >= 0) & (rows["step"] > 0)]
    if rows["step"].nunique() < 2:
        return None
    noise = _seed_noise(found, "seed_noise_norm")
    panels = []
    for arm in found.arms:
        grid = rows[rows["arm"] == arm.name].pivot_table(index="layer", columns="step", values="value")
        if not grid.empty:
            alt = words("alt.map", arm=arm.label, table=words("chart.weight_steps.plain"))
            labels = (words("axis.step"), words("axis.layer"))
            level = noise[(noise["arm"] == arm.name) & (noise["layer"] == -1) & (noise["module"] == ALL)]
            null = 100 * float(level["value"].mean()) if len(level) else 0.0
            most = 100 * float(rows["value"].max())
            panels.append(heatmap(arm, 100 * grid, most, labels, alt, null=null))
    still = {
        arm.label: sorted(own.loc[own["value"] == 0, "layer"].unique())
        for arm in found.arms
        if not (own := rows[(rows["arm"] == arm.name) & (rows["step"] == rows["step"].max())]).empty
    }
    untouched = next(((label, layers) for label, layers in still.items() if layers), None)
    title = words("chart.weight_steps.plain")
    if untouched:
        layers = ", ".join(str(layer) for layer in untouched[1])
        title = words("chart.weight_steps.still", arm=untouched[0], layers=layers)
    return Chart(
        name="weight_steps",
        title=title,
        subtitle=subtitle(found, words, "weight_change", rows.assign(n=1)),
        note=words("chart.weight_steps.note"),
        panels=tuple(panels),
        table=_table(found, words, "weight_steps", rows, "step"),
    )


def _spectra(found: Findings, words: Words) -> Chart | Missing | None:
    if not _asked(found, "weight_spectra"):
        return None
    energy = found.rows("energy_in_top")
    if energy.empty:
        return _missing("weight_spectra", found, words)
    energy = energy.assign(rank=energy["module"].str.split().str[-1].astype(int))
    layered = {metric: _by_layer(found, metric) for metric in ("r90", "effective_rank")}
    noise = _seed_noise(found, "seed_noise_r90")
    noise = noise[(noise["module"] == ALL) & (noise["layer"] >= 0)].assign(metric="seed_noise_r90")
    layered["r90"] = layered["r90"].assign(extra=_matching(layered["r90"], noise))
    r90 = _whole(found, "r90")
    lowest = extreme(r90.assign(share=r90["value"] / r90["null_value"]), largest=False, by="share")
    return Chart(
        name="weight_spectra",
        title=words(
            "chart.weight_spectra.most",
            arm=found.label(lowest["arm"]),
            share=number(lowest["share"], "share"),
        ),
        subtitle=subtitle(found, words, "weight_spectra", energy.assign(n=1)),
        note=words("chart.weight_spectra.note"),
        panels=(
            curves(
                words.metric("energy_in_top"), found.arms, energy, "rank", words("axis.rank"), words, log=True
            ),
            *(
                curves(words.metric(metric), found.arms, rows, "layer", words("axis.layer"), words)
                for metric, rows in layered.items()
            ),
        ),
        table=_table(
            found,
            words,
            "weight_spectra",
            pd.concat([energy.assign(place=energy["module"]), *(_placed(rows) for rows in layered.values())]),
            "place",
        ),
        legend=found.arms,
    )


def _intruders(found: Findings, words: Words) -> Chart | Missing | None:
    if not _asked(found, "intruder_dimensions"):
        return None
    rows = {metric: _by_layer(found, metric) for metric in ("intruders", "intruder_score")}
    if any(own.empty for own in rows.values()):
        return _missing("intruder_dimensions", found, words)
    whole = _whole(found, "intruders")
    most = extreme(whole.assign(beyond=whole["value"] - whole["null_value"]), by="beyond")
    return Chart(
        name="intruder_dimensions",
        title=words(
            "chart.intruder_dimensions.most",
            arm=found.label(most["arm"]),
            count=f"{most['value']:.0f}",
            null=f"{most['null_value']:.0f}",
        ),
        subtitle=subtitle(found, words, "intruder_dimensions", rows["intruders"].assign(n=1)),
        note=words("chart.intruder_dimensions.note"),
        panels=tuple(
            curves(words.metric(metric), found.arms, own, "layer", words("axis.layer"), words)
            for metric, own in rows.items()
        ),
        table=_table(
            found, words, "intruder_dimensions", pd.concat([_placed(own) for own in rows.values()]), "place"
        ),
        legend=found.arms,
    )


def _shrunk(found: Findings, words: Words) -> Chart | Missing | None:
    """Effect of shrinking the intruder; the grey bar is that of shrinking its neighbour."""
    if not _asked(found, "intruder_shrinkage"):
        return None
    panels, shown = [], []
    for kind in SHRUNK:
        main, neighbour = (
            _plain(found.rows(f"{who}_{kind}_change", probe="intruder_shrinkage"))
            for who in ("shrunk", "neighbour")
        )
        if main.empty:
            return _missing("intruder_shrinkage", found, words)
        nulls = {row["arm"]: row for row in records(neighbour)}
        panels.append(
            dots(
                words.metric(f"shrunk_{kind}_change"),
                found.arms,
                {row["arm"]: Dot(value=_value(row), null=_value(nulls[row["arm"]])) for row in records(main)},
                "plain",
                words,
                0.0,
            )
        )
        shown += [main, neighbour]
    extra = _plain(found.rows("shrunk_drift_extra", probe="intruder_shrinkage"))
    least = extreme(extra, largest=False)
    carried = isfinite(least["ci_high"]) and least["ci_high"] < 0
    title = words("chart.intruder_shrinkage.none")
    if carried:
        prices = _plain(found.rows("shrunk_task_loss_extra", probe="intruder_shrinkage"))
        price = extreme(prices[prices["arm"] == least["arm"]])
        value, task = (with_interval(_value(row), to=words.interval_word()) for row in (least, price))
        title = words("chart.intruder_shrinkage.some", arm=found.label(least["arm"]), value=value, task=task)
    every = pd.concat([*shown, extra])
    named = every.assign(dataset=every["dataset"].map(words.data))
    return Chart(
        name="intruder_shrinkage",
        title=title,
        subtitle=subtitle(found, words, "intruder_shrinkage", every),
        note=words("chart.intruder_shrinkage.note"),
        panels=tuple(panels),
        table=_table(found, words, "intruder_shrinkage", named, "dataset"),
    )


def _line(found: Findings, words: Words) -> Chart | Missing | None:
    if not _asked(found, "mode_connectivity"):
        return None
    rows = _of_line(found.rows("excess_on_line", probe="mode_connectivity"))
    if rows.empty:
        return _missing("mode_connectivity", found, words)
    between = _pairs(found, "excess_on_line", "mode_connectivity")
    panels = [
        curves(
            words("chart.mode_connectivity.base", data=str(name)),
            found.arms,
            own,
            "alpha",
            words("axis.alpha"),
            words,
        )
        for name, own in rows.groupby("dataset", sort=False)
    ]
    if not between.empty:
        means = _of_line(between).groupby(["arm", "alpha"], as_index=False)["value"].mean()
        title = words("chart.mode_connectivity.seeds")
        own = means.assign(null_value=0.0, ci_low=nan, ci_high=nan)
        panels.append(curves(title, found.arms, own, "alpha", words("axis.alpha"), words))
    highest = extreme(found.rows("barrier", probe="mode_connectivity"))
    title = words("chart.mode_connectivity.none")
    if highest["ci_low"] > 0:
        value = with_interval(_value(highest), to=words.interval_word())
        title = words("chart.mode_connectivity.some", arm=found.label(highest["arm"]), value=value)
    return Chart(
        name="mode_connectivity",
        title=title,
        subtitle=subtitle(found, words, "mode_connectivity", rows),
        note=words("chart.mode_connectivity.note"),
        panels=tuple(panels),
        table=_table(found, words, "mode_connectivity", rows, "alpha"),
        legend=found.arms,
    )


def _alike(found: Findings, words: Words) -> Chart | Missing | None:
    """Cosines between the changes of all runs whose weights were kept."""
    rows = found.material.between
    rows = rows[(rows["layer"] == -1) & (rows["module"] == ALL)]
    kept = rows[rows["metric"] == "task_vector_cosine"]
    if kept.empty:
        return None
    null = rows[rows["metric"] == "task_vector_cosine_null"].set_index("stratum")["value"]
    pairs = [(*str(row["stratum"]).split(" | "), row["value"]) for row in records(kept)]
    names = list(dict.fromkeys(name for one, other, _ in pairs for name in (one, other)))
    grid = pd.DataFrame(1.0, index=names, columns=names)
    for one, other, value in pairs:
        grid.loc[one, other] = grid.loc[other, one] = value
    title = words("chart.task_vectors.plain")
    columns = (
        Column(key="pair", title=words("col.pair"), numeric=False),
        Column(key="value", title=words.metric("task_vector_cosine")),
        Column(key="null", title=words.metric("task_vector_cosine_null")),
    )
    body = tuple(
        (
            cells.text(str(row["stratum"])),
            cells.amount(row["value"], why=row["why"]),
            cells.amount(float(null.get(row["stratum"], nan))),
        )
        for row in records(kept)
    )
    return Chart(
        name="task_vectors",
        title=title,
        subtitle=words.measure("task_vectors") + "; " + seeds_phrase(found.material, words) + words("stop"),
        note=words("chart.task_vectors.note"),
        panels=(matrix(title, grid, float(null.median())),),
        table=Table(name="task_vectors", caption=title, columns=columns, rows=body),
    )


def _asked(found: Findings, probe: str) -> bool:
    return probe in found.material.probes


def _missing(probe: str, found: Findings, words: Words) -> Missing:
    why = str(found.material.probes.get(probe, {}).get("not_applicable") or "")
    reason = words("absent.not_applicable", why=why) if why else absent(found.material, probe, words)
    return Missing(name=probe, title=words(f"chart.{probe}.plain"), reason=reason)


def _by_layer(found: Findings, metric: str) -> pd.DataFrame:
    rows = found.rows(metric)
    return rows[(rows["module"] == ALL) & (rows["layer"] >= 0)]


def _whole(found: Findings, metric: str) -> pd.DataFrame:
    rows = found.rows(metric)
    return rows[(rows["module"] == ALL) & (rows["layer"] == -1)]


def _plain(rows: pd.DataFrame) -> pd.DataFrame:
    return rows[rows["module"] == ""]


def _of_line(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.assign(alpha=rows["module"].str.split().str[-1].astype(float))


def _placed(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.assign(place=rows["layer"].astype(int).astype(str))


def _seed_noise(found: Findings, metric: str) -> pd.DataFrame:
    """What the seed alone changes, by arm and place: mean over its pairs of seeds."""
    rows = _pairs(found, metric, "task_vectors")
    means: pd.DataFrame = rows.groupby(["arm", "layer", "module"], as_index=False).agg({"value": "mean"})
    return means


def _pairs(found: Findings, metric: str, probe: str) -> pd.DataFrame:
    """Rows on two seeds of one arm, with the arm they belong to."""
    rows = found.material.between
    rows = rows[(rows["metric"] == metric) & (rows["probe"] == probe) & rows["value"].notna()]
    arms = rows["stratum"].str.split("-seed").str[0]
    known: pd.DataFrame = rows.assign(arm=arms)[arms.isin([arm.name for arm in found.arms])]
    return known


def _matching(rows: pd.DataFrame, others: pd.DataFrame) -> list[float]:
    """For each row the value of another table at the same arm and layer, NaN where there is none."""
    known = {(row["arm"], row["layer"]): row["value"] for row in records(others)}
    return [known.get((row["arm"], row["layer"]), nan) for row in records(rows)]


def _value(row: dict[str, float]) -> Value:
    return Value(row["value"], row["ci_low"], row["ci_high"])


def _table(found: Findings, words: Words, name: str, rows: pd.DataFrame, place: str) -> Table:
    columns = (
        Column(key="measure", title=words("col.measure"), numeric=False),
        Column(key="arm", title=words("col.arm"), numeric=False),
        Column(key="layer", title=words("col.layer")),
        Column(
            key=place, title=words(f"col.{place}" if place == "place" else f"axis.{place}"), numeric=False
        ),
        Column(key="value", title=words("col.value"), interval=True),
        Column(key="null", title=words("col.null")),
        Column(key="seed_range", title=words("col.seed_values")),
    )
    body = tuple(
        (
            cells.text(words.metric(row["metric"])),
            cells.text(found.label(row["arm"])),
            cells.count(row["layer"]) if row["layer"] >= 0 else cells.text(words("all")),
            cells.text(_shown(row[place])),
            cells.amount(_value(row), to=words.interval_word()),
            cells.amount(row["null_value"]),
            cells.spread([row["seed_low"], row["seed_high"]][: row["seeds"]]),
        )
        for row in records(rows)
    )
    return Table(name=name, caption=words(f"chart.{name}.plain"), columns=columns, rows=body)


def _shown(place: object) -> str:
    return f"{place:g}" if isinstance(place, float) else str(place) or DASH
