from __future__ import annotations

from dataclasses import replace

import matplotlib.pyplot as plt
import pandas as pd
import pytest

from sft_probe.report.charts import Chart, Missing, draw
from sft_probe.report.figures_layers import layer_charts
from sft_probe.report.findings import Findings, find
from sft_probe.report.material import Material
from sft_probe.report.words import Words

WORDS = Words()
ABOUT = {"axis": "where", "question": "Where?", "null": "none"}


def with_rows(material: Material, probe: str, metrics: dict[tuple[str, str], float]) -> Findings:
    """The drift of the study again under other names, times a factor; its null falls with the layer."""
    rows = material.measurements
    drift = rows[rows["metric"] == "relative_drift"]
    made = [
        drift.assign(
            probe=probe,
            metric=metric,
            module=module,
            value=factor * drift["value"],
            null_value=-0.1 * drift["layer"],
        )
        for (metric, module), factor in metrics.items()
    ]
    return find(
        replace(
            material,
            measurements=pd.concat([rows, *made], ignore_index=True),
            probes={**material.probes, probe: ABOUT},
        )
    )


@pytest.fixture
def geometry(material: Material) -> Findings:
    return with_rows(
        material,
        "representation_geometry",
        {("procrustes_angle", ""): 1, ("procrustes_angle", "permuted"): 9, ("svcca", ""): 2},
    )


def test_curves_have_a_null_and_a_floor(geometry: Findings) -> None:
    profile, steps = layer_charts(geometry, WORDS)
    assert isinstance(profile, Chart)
    assert isinstance(steps, Chart)
    assert [panel.title for panel in profile.panels] == [
        WORDS.metric("procrustes_angle"),
        WORDS.metric("svcca"),
    ]
    assert profile.title.startswith("Furthest from no effect in layer")
    first = profile.table.rows[0]
    assert first[5].value == pytest.approx(9 * first[3].value)  # the floor of the same arm and layer
    assert "stroke-dasharray" in draw(profile).panels[0]


def test_maps_say_when(geometry: Findings) -> None:
    steps = layer_charts(geometry, WORDS)[1]
    assert isinstance(steps, Chart)
    assert (steps.name, len(steps.panels)) == ("procrustes_angle_map", len(geometry.arms))
    assert "half of its largest value first in layer" in steps.title
    assert len(draw(steps).panels) == len(steps.panels)


def test_heads_are_a_map(material: Material) -> None:
    heads = {("attention_moved_by_head_share", f"head {i}"): 0.1 * (i + 1) for i in range(3)}
    charts = layer_charts(with_rows(material, "attention_drift", heads), WORDS)
    chart = charts[-1]
    assert isinstance(chart, Chart)
    assert chart.name == "head_map"
    assert chart.title.startswith("Head 2 of layer")


def test_a_probe_that_did_not_apply_says_why(material: Material) -> None:
    silent = {**ABOUT, "not_applicable": "no row has a label"}
    (missing,) = layer_charts(find(replace(material, probes={"layer_readouts": silent})), WORDS)
    assert isinstance(missing, Missing)
    assert missing.reason == "Not measured: no row has a label."


def test_what_was_not_asked_takes_no_room(found: Findings) -> None:
    assert layer_charts(found, WORDS) == []


def test_null_and_floor_are_in_sight(geometry: Findings) -> None:
    """Curves are read between them, however far they lie from every arm."""
    (profile, _) = layer_charts(geometry, WORDS)
    assert isinstance(profile, Chart)
    angle, likeness = (plt.figure().subplots() for _ in profile.panels)
    for axes, panel in zip((angle, likeness), profile.panels, strict=True):
        panel.draw(axes)
    rows = geometry.rows("procrustes_angle", probe="representation_geometry")
    floor = rows[rows["module"] == "permuted"].groupby("layer")["value"].mean().max()
    assert angle.get_ylim()[1] >= floor > rows[rows["module"] == ""]["value"].max()
    assert likeness.get_ylim()[0] <= rows["null_value"].min()
    plt.close("all")
