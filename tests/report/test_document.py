"""`report.json` follows the schema that is published, and the schema is current."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from sft_probe.report.build import ReportPaths, build_report
from sft_probe.report.jsonschema import schema_text

from .synthetic import write_study

PUBLISHED = Path(__file__).parents[2] / "docs" / "report.schema.json"


def test_the_published_schema_is_current() -> None:
    assert PUBLISHED.read_text(encoding="utf-8") == schema_text()


def test_a_report_follows_the_schema(report: ReportPaths) -> None:
    schema = json.loads(PUBLISHED.read_text(encoding="utf-8"))
    data = json.loads(report.json.read_text(encoding="utf-8"))
    jsonschema.validate(data, schema)
    assert data["schema"] == "sft_probe.report/1"
    for broken in ({"verdict": 1}, {"unknown": 1}, {"schema": "sft_probe.report/2"}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(data | broken, schema)


def test_a_report_with_missing_figures_follows_it_too(tmp_path: Path) -> None:
    study = write_study(tmp_path, arms=("full",), seeds=(0,), steps=(0, 1), probes=("task_alignment",))
    data = json.loads(build_report(study).json.read_text(encoding="utf-8"))
    jsonschema.validate(data, json.loads(PUBLISHED.read_text(encoding="utf-8")))
    charts = [chart for section in data["sections"] for chart in section["charts"]]
    assert [chart["figure"] is None for chart in charts] == [chart["missing"] is not None for chart in charts]
