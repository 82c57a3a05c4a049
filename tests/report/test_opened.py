"""Runs on disk as frames and figures, for notebooks."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest

from sft_probe.errors import SpecError, StoreError
from sft_probe.report.opened import BEFORE_AFTER, Runs, open_runs
from sft_probe.report.pictures import as_png
from sft_probe.schema import ITEM_COLUMNS, MEASUREMENT_COLUMNS
from sft_probe.store.runs import RunStore

from .synthetic import write_study


@pytest.fixture(scope="module")
def runs(study: Path) -> Runs:
    return open_runs(str(study))


def test_frames_are_the_tables_of_the_store(runs: Runs, study: Path) -> None:
    assert tuple(runs.measurements.columns) == MEASUREMENT_COLUMNS
    assert tuple(runs.items.columns) == ITEM_COLUMNS
    pd.testing.assert_frame_equal(runs.measurements, RunStore(study).measurements())
    assert set(runs.runs.arm) == {"base", "full", "full_high", "lora"}
    assert len(runs.train_log) == len(RunStore(study).train_log())
    assert runs.sql("select count(*) as n from items").n.item() == len(runs.items)


def test_a_figure_draws_itself_and_has_its_numbers(runs: Runs, tmp_path: Path) -> None:
    assert len(runs.figures) > 5
    for figure in list(runs.figures.values())[:3]:
        assert figure.title
        drawn = ElementTree.fromstring(figure.svg)
        assert drawn.tag.endswith("svg")
        png, says = figure._repr_png_()
        assert png.startswith(b"\x89PNG")
        assert figure.title in says["alt"]
        assert repr(figure).splitlines() == [figure.title, figure.subtitle]
        assert not figure.table.empty
        assert figure.save(tmp_path / f"{figure.name}.svg").read_text("utf-8") == figure.svg
        assert len(figure.matplotlib().axes) >= len(figure.chart.panels)


def test_every_figure_of_the_report_is_drawn_or_its_absence_explained(runs: Runs) -> None:
    names = [chart.name for section in runs.story.sections for chart in section.charts]
    assert set(names) == {*runs.figures, *runs.missing}
    assert all(runs.missing.values())


def test_tables_hold_numbers_and_undefined_is_nan(runs: Runs) -> None:
    everything = runs.tables["everything"]
    assert everything.value.dtype == np.float64
    undefined = everything[everything.metric == "schema_valid_rate"]
    assert len(undefined) == 3
    assert undefined.value.isna().all()


def test_a_notebook_shows_the_verdict(runs: Runs) -> None:
    shown = runs._repr_html_()
    assert ElementTree.fromstring(f"<div>{shown}</div>") is not None
    assert len(runs.verdict) >= 2
    assert "learned the task" in shown


def test_chinese_runs_speak_chinese(study: Path) -> None:
    assert "任务" in "".join(open_runs(study, lang="zh").verdict)


def test_what_cannot_be_opened_is_said_at_once(tmp_path: Path, study: Path) -> None:
    with pytest.raises(StoreError, match="no run is finished"):
        open_runs(tmp_path)
    with pytest.raises(SpecError, match="there is no language 'fr'"):
        open_runs(study, lang="fr")


def test_a_text_shows_the_verdict_and_no_path(runs: Runs, study: Path) -> None:
    shown = repr(runs)
    assert all(sentence in shown for sentence in runs.verdict)
    assert str(study) not in shown


def test_a_picture_is_the_same_each_time_and_holds_all_text(runs: Runs) -> None:
    figure = runs.figures["weight_map"]  # with colour bars, which need room of their own
    drawn = figure.matplotlib()
    assert figure.png == as_png(drawn)
    written = " ".join(text.get_text() for text in drawn.texts)
    assert set(f"{figure.title} {figure.subtitle} {figure.note}".split()) <= set(written.split())


def test_before_and_after_stand_side_by_side(runs: Runs) -> None:
    rows = runs.before_after("task_alignment", "exact_match")
    assert tuple(rows.columns) == BEFORE_AFTER
    assert not rows.empty
    right = rows.change.isin(["gained", "kept_right"])
    assert ((rows.after > 0.5) == right).all()
    assert ((rows.before > 0.5) == rows.change.isin(["lost", "kept_right"])).all()
    items = runs.items
    last = items[(items.probe == "task_alignment") & (items.metric == "exact_match") & (items.step == 30)]
    assert sorted(rows.after) == sorted(last.value)


def test_what_is_no_share_is_not_sorted_into_right_and_wrong(runs: Runs, tmp_path: Path) -> None:
    curve = open_runs(write_study(tmp_path, arms=("full",), seeds=(0,), probes=("forgetting_curve",)))
    rows = curve.before_after("forgetting_curve", "retained_margin")
    assert rows.after.min() < 0 < rows.after.max()
    assert set(rows.change) == {""}
    assert runs.before_after("forgetting", "no such metric").empty
