from __future__ import annotations

from dataclasses import replace
from itertools import product

import pandas as pd
import pytest

from sft_probe.report.charts import Chart, svg
from sft_probe.report.figures_knowledge import fitting_charts
from sft_probe.report.findings import find
from sft_probe.report.material import Material
from sft_probe.report.words import Words

STEPS = (0, 3, 30)
COURSE = {"highly known": (0.0, 1.0, 1.0), "unknown": (0.0, 0.1, 1.0)}


@pytest.fixture
def watched(material: Material) -> Material:
    """The first arm, answers by category over three looks; the second seed is a little slower."""
    template = material.measurements.iloc[0].to_dict()
    made = [
        {
            **template,
            "run": f"full-seed{seed}",
            "arm": "full",
            "seed": seed,
            "step": step,
            "probe": "knowledge_categories",
            "metric": "answered_accuracy",
            "dataset": "train",
            "stratum": kind,
            "value": value * (0.95 if seed else 1.0),
            "n": 20,
        }
        for seed, (kind, values) in product((0, 1), COURSE.items())
        for step, value in zip(STEPS, values, strict=True)
    ]
    rows = pd.concat([material.measurements, pd.DataFrame(made)], ignore_index=True)
    return replace(material, measurements=rows, reference="full")


def test_the_step_at_ninety_percent_and_the_ratio_are_told(watched: Material) -> None:
    (chart,) = fitting_charts(find(watched), Words())
    assert isinstance(chart, Chart)
    at_90 = {row[1].text: row[2].value for row in chart.table.rows}
    known = (0.9 * 3 + 0.9 / 0.95 * 3) / 2
    unknown = (3 + 27 * 0.8 / 0.9 + 3 + 27 * (0.9 / 0.95 - 0.1) / 0.9) / 2
    assert at_90 == pytest.approx({"highly known": known, "unknown": unknown})
    assert chart.title.startswith("Facts new to the base take 10.")
    picture = svg(chart.panels[0], "f")
    assert picture.startswith("<svg")
    assert "highly known, unknown" in picture  # both end above 95 %, so one line names them


def test_steps_are_told_in_epochs_where_the_trainer_counted_them(watched: Material) -> None:
    assert {row[3].why for row in fitting_charts(find(watched), Words())[0].table.rows} == {  # type: ignore[union-attr]
        "the training log does not count epochs"
    }
    lines = [
        {
            "run": f"full-seed{seed}",
            "arm": "full",
            "seed": seed,
            "step": step,
            "metric": "epoch",
            "value": step / 6,
        }
        for seed, step in product((0, 1), (15, 30))
    ]
    log = pd.concat([watched.train_log, pd.DataFrame(lines)], ignore_index=True)
    (chart,) = fitting_charts(find(replace(watched, train_log=log)), Words())
    assert isinstance(chart, Chart)
    for row in chart.table.rows:
        assert row[3].value == pytest.approx(float(row[2].value) / 6)
    assert "In epochs: 0.5 against 4.6." in chart.title


def test_a_kind_that_is_never_fitted_has_no_step(watched: Material) -> None:
    rows = watched.measurements.copy()
    rows.loc[rows["stratum"] == "unknown", "value"] = 0.5
    (chart,) = fitting_charts(find(replace(watched, measurements=rows)), Words())
    assert isinstance(chart, Chart)
    cell = next(row[2] for row in chart.table.rows if row[1].text == "unknown")
    assert cell.why == "90 % was not reached"
    assert "times as many steps" not in chart.title


def test_without_the_probe_there_is_no_figure(material: Material) -> None:
    assert fitting_charts(find(material), Words()) == []
