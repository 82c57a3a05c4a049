"""Marks of a certificate beside probes; the certificate is made up by hand, as any reader of the file may."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sft_probe.errors import InputError
from sft_probe.report.build import build_report
from sft_probe.report.marks import SHIPPED, Marks, read_marks
from sft_probe.report.words import Words

from .synthetic import write_study


def certificate(path: Path, parameters: int = 3_000_000, **verdicts: str) -> Path:
    rows: list[dict[str, Any]] = [
        {
            "probe": probe,
            "verdict": verdict.replace("_", " "),
            "reasons": [] if verdict == "calibrated" else ["Why."],
        }
        for probe, verdict in verdicts.items()
    ]
    found = {
        "base": {"name": "planted", "parameters": parameters},
        "made": {"date": "2026-01-02"},
        "verdicts": rows,
    }
    path.write_text(json.dumps(found), encoding="utf-8")
    return path


def marked(folder: Path) -> dict[str, str]:
    with (folder / "tables/probes.csv").open(encoding="utf-8") as file:
        return {row["probe"]: row["certificate"] for row in csv.DictReader(file)}


VERDICTS = {"task_alignment": "calibrated", "forgetting": "weak", "representation_drift": "not_calibrated"}


@pytest.mark.parametrize("lang", ["en", pytest.param("zh", marks=pytest.mark.slow)])
def test_each_probe_has_its_mark(tmp_path: Path, lang: str) -> None:
    """The synthetic study's model has 3 M parameters."""
    study = write_study(tmp_path / "study", arms=("full",), seeds=(0,), steps=(0, 30))
    paths = build_report(study, lang=lang, certificate=certificate(tmp_path / "c.json", **VERDICTS))
    words = Words(lang)
    marks = marked(study)
    assert marks["task_alignment"] == f"● {words('mark.calibrated')}"
    assert marks["forgetting"] == f"◐ {words('mark.weak')}"
    assert marks["representation_drift"] == f"○ {words('mark.not_calibrated')}"
    assert marks["token_shift"].endswith(words("mark.none"))
    page = paths.html.read_text(encoding="utf-8")
    figure = page[page.index('id="chart-drift_profile"') :]
    assert words("mark.not_calibrated") in figure[: figure.index("</figcaption>")]
    assert 'title="Why."' in figure[: figure.index("</figcaption>")]
    assert "2026-01-02" in page
    assert f"○ {words('mark.not_calibrated')}" in paths.markdown.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("parameters", "fits"), [(1_000_001, True), (8_999_999, True), (990_000, False), (9_100_000, False)]
)
def test_a_certificate_holds_for_models_of_about_its_size(
    tmp_path: Path, parameters: int, fits: bool
) -> None:
    marks = read_marks(certificate(tmp_path / "c.json", parameters, **VERDICTS))
    mark = replace(marks, parameters=3_000_000).of("task_alignment")
    assert mark.text(Words()) == ("● calibrated" if fits else "○ not calibrated for this size of model")


def test_without_a_certificate_every_probe_says_so(tmp_path: Path) -> None:
    marks = Marks()
    assert marks.of("forgetting").text(Words()).endswith("no certificate")
    assert "sft-probe calibrate" in marks.note(Words())


def test_a_model_of_unknown_size_is_not_vouched_for(tmp_path: Path) -> None:
    marks = read_marks(certificate(tmp_path / "c.json", **VERDICTS))
    assert marks.of("task_alignment").verdict == "other_size"


def test_what_is_shipped_is_a_certificate_or_nothing() -> None:
    import sft_probe.report

    shipped = Path(sft_probe.report.__file__).parent / SHIPPED
    assert bool(read_marks().probes) == shipped.is_file()


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", '{"base": 3}', '{"base": {"name": "x", "parameters": "many"}}']
)
def test_what_is_no_certificate_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "c.json"
    with pytest.raises(InputError, match="cannot be read"):
        read_marks(path)
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match="is not a certificate"):
        read_marks(path)
