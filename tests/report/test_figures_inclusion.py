from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from sft_probe.report.figures_inclusion import inclusion_charts
from sft_probe.report.findings import find
from sft_probe.report.material import Material
from sft_probe.report.words import Words

WORDS = Words()


def with_rows(material: Material, effect: float) -> Material:
    """Rows that each of four runs of the arm `full` had or had not."""
    draw, rows = np.random.default_rng(0), []
    for run in range(4):
        for place, row in enumerate(draw.permutation(40)):
            value = row / 10 + effect * (place < 20) + draw.normal(0, 0.1)
            stratum = "1 times" if place < 20 else "0 times"
            rows.append((f"full-seed{run}", "full", 30, "row_logprob", f"r{row}", value, stratum))
    columns = ["run", "arm", "step", "metric", "item", "value", "stratum"]
    items = pd.concat([material.items, pd.DataFrame(rows, columns=columns)], ignore_index=True)
    return replace(material, items=items)


def test_a_text_is_compared_with_itself(material: Material) -> None:
    found = find(material)
    (chart,) = inclusion_charts(replace(found, material=with_rows(material, 0.7)), WORDS)
    assert chart.title.startswith(
        "Being trained on makes a row likelier than the same row left out: Full, 1e-4, by 0."
    )
    ((_, arm, effect, n, runs),) = chart.table.rows
    assert (arm.text, runs.value) == ("Full, 1e-4", 4)
    assert effect.value == pytest.approx(0.7, abs=0.1)
    assert n.value > 25
    assert [panel.title for panel in chart.panels] == ["Training rows, nats/token"]


def test_no_effect_is_said_plainly(material: Material) -> None:
    (chart,) = inclusion_charts(replace(find(material), material=with_rows(material, 0.0)), WORDS)
    assert chart.title == "Being trained on does not show in single texts."


def test_studies_without_lots_have_no_such_figure(material: Material) -> None:
    assert inclusion_charts(find(material), WORDS) == []
