from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest

from sft_probe.errors import StoreError
from sft_probe.report.build import ReportPaths, build_report
from sft_probe.report.material import load
from sft_probe.report.story import tell
from sft_probe.report.words import Words
from sft_probe.store.runs import BASE, RunStore

from .synthetic import ENVIRONMENT, PROBES, config, write_run, write_study


def reasons(output_dir: Path) -> dict[str, str]:
    story = tell(load(output_dir), Words())
    return {
        chart.name: chart.reason
        for section in story.sections
        for chart in section.charts
        if hasattr(chart, "reason")
    }


def test_all_outputs_are_there_and_small(report: ReportPaths) -> None:
    assert report.html.stat().st_size < 5_000_000
    data = json.loads(report.json.read_text(encoding="utf-8"))
    charts = [chart for section in data["sections"] for chart in section["charts"]]
    assert {section["axis"] for section in data["sections"]} == {"what", "when", "where", "cost", "sure"}
    for chart in charts:
        assert (report.html.parent / chart["figure"]).stat().st_size > 1000
        assert (report.tables / f"{chart['table']}.csv").is_file()


def test_json_and_csv_have_the_same_numbers(report: ReportPaths) -> None:
    data = json.loads(report.json.read_text(encoding="utf-8"))
    assert data["schema"] == "sft_probe.report/1"
    rows = data["tables"]["frontier"]["rows"]
    with (report.tables / "frontier.csv").open(encoding="utf-8") as file:
        table = list(csv.DictReader(file))
    assert [float(row["kept_low"]) for row in table] == [row["kept_low"] for row in rows]
    assert rows[1]["kept"] < -0.1
    assert rows[1]["kept_low"] < rows[1]["kept"] < rows[1]["kept_high"]


@pytest.mark.slow
def test_building_twice_gives_the_same_files(report: ReportPaths, study: Path) -> None:
    before = {path.name: path.read_bytes() for path in report.figures.iterdir()} | {
        path.name: path.read_bytes() for path in (report.html, report.json, report.markdown)
    }
    again = build_report(study)
    for path in (*again.figures.iterdir(), again.html, again.json, again.markdown):
        assert path.read_bytes() == before[path.name], path.name


def test_markdown_links_its_figures_and_escapes(report: ReportPaths) -> None:
    text = report.markdown.read_text(encoding="utf-8")
    assert text.startswith("# synthetic\n")
    assert "![" in text
    assert "](figures/scores.svg)" in text
    assert "<script" not in text


@pytest.mark.parametrize("probe", PROBES)
def test_a_missing_probe_is_named_where_its_figures_would_be(tmp_path: Path, probe: str) -> None:
    study = write_study(
        tmp_path,
        arms=("full",),
        seeds=(0,),
        steps=(0, 3, 30),
        probes=tuple(name for name in PROBES if name != probe),
    )
    missing = reasons(study)
    assert missing
    assert all(probe in reason for reason in missing.values())


def test_checkpoints_that_were_not_watched_have_no_timeline(tmp_path: Path) -> None:
    study = write_study(tmp_path, arms=("full", "lora"), seeds=(0,), steps=(0, 1))
    missing = reasons(study)
    assert set(missing) == {"timeline", "drift_map"}
    assert all("Training was not watched" in reason for reason in missing.values())


def test_one_seed_says_that_it_is_one(tmp_path: Path) -> None:
    study = write_study(tmp_path, arms=("full",), seeds=(0,), steps=(0, 3, 30))
    story = tell(load(study), Words())
    assert "1 seed" in story.covers
    seeds = next(table for table in story.tables() if table.name == "seeds")
    assert seeds.records()[0]["change_anew_low"] is None


def test_an_interrupted_study_says_what_is_missing(tmp_path: Path, study: Path) -> None:
    copy = tmp_path / "study"
    shutil.copytree(study, copy)
    for run in ("lora-seed0", "lora-seed1"):
        (copy / "runs" / run / "manifest.json").unlink()
    story = tell(load(copy), Words())
    assert [arm.name for arm in story.material.arms] == ["full", "full_high"]
    assert "lora-seed0 and lora-seed1" in story.warnings[0]


def test_only_the_base_is_finished(tmp_path: Path) -> None:
    write_run(RunStore(tmp_path), BASE, 0, (0,), PROBES)
    story = tell(load(tmp_path), Words())
    assert story.verdict == [Words()("page.no_arms")]
    page = build_report(tmp_path).html.read_text(encoding="utf-8")
    assert "No arm has finished yet" in page


def test_without_any_finished_run_there_is_no_report(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no run is finished"):
        build_report(tmp_path)
    RunStore(tmp_path).open_run("full-seed0", config=config("full", 0), environment=ENVIRONMENT)
    with pytest.raises(StoreError, match="no run is finished"):
        build_report(tmp_path)


def test_the_base_run_stands_in_for_step_zero(tmp_path: Path) -> None:
    study = write_study(
        tmp_path, arms=("full",), seeds=(0,), keep=lambda probe, step: step > 0 or probe != "forgetting"
    )
    store = RunStore(study)
    write_run(store, BASE, 0, (0,), PROBES)
    material = load(study)
    start = material.measurements.query("probe == 'forgetting' and step == 0")
    assert set(start["run"]) == {"full-seed0"}


def test_chinese_has_no_english_sentences(study: Path) -> None:
    story = tell(load(study), Words("zh"))
    assert all(any("\u4e00" <= c <= "\u9fff" for c in text) for text in (*story.verdict, story.covers))
