from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest

from sft_probe.report.charts import Chart, Missing
from sft_probe.report.figures_probe import probe_charts
from sft_probe.report.findings import find
from sft_probe.report.material import Material
from sft_probe.report.words import Words

WORDS = Words()
ABOUT = {"axis": "what", "question": "Does it whisper?", "null": "as loud as the base"}


@pytest.fixture
def with_whispers(material: Material) -> Material:
    """The exact-match rows once more, as two metrics of a probe that no figure was made for."""
    rows = material.measurements
    own = rows[rows["metric"] == "exact_match"]
    loud, quiet = own.assign(metric="whisper_rate"), own.assign(metric="hush")
    both = pd.concat([loud, quiet]).assign(probe="whispering", module="", layer=-1)
    return replace(
        material,
        measurements=pd.concat([rows, both], ignore_index=True),
        probes={**material.probes, "whispering": ABOUT},
    )


def test_a_probe_without_a_figure_of_its_own_gets_one(with_whispers: Material) -> None:
    (chart,) = probe_charts(find(with_whispers), WORDS, "what")
    assert isinstance(chart, Chart)
    assert [panel.title for panel in chart.panels] == ["whisper_rate, %", "hush"]
    assert chart.title.startswith("“")
    assert "Does it whisper?" in chart.note
    assert len(chart.table.rows) == 6
    assert probe_charts(find(with_whispers), WORDS, "cost") == []


def test_headline_metrics_are_shown_and_only_those(with_whispers: Material) -> None:
    named = {**with_whispers.probes, "whispering": {**ABOUT, "headline": ["hush", "unheard"]}}
    (chart,) = probe_charts(find(replace(with_whispers, probes=named)), WORDS, "what")
    assert isinstance(chart, Chart)
    assert [panel.title for panel in chart.panels] == ["hush"]


def test_a_probe_that_did_not_apply_says_why(with_whispers: Material) -> None:
    silent = {"silence": {**ABOUT, "not_applicable": "no row has a sound"}}
    (missing,) = probe_charts(find(replace(with_whispers, probes=silent)), WORDS, "what")
    assert isinstance(missing, Missing)
    assert missing.reason == "Not measured: no row has a sound."
