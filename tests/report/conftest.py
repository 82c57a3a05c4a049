from __future__ import annotations

from pathlib import Path

import pytest

from sft_probe.report.build import ReportPaths, build_report
from sft_probe.report.findings import Findings, find
from sft_probe.report.material import Material, load

from .synthetic import write_study


@pytest.fixture(scope="session")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two arms that differ in their learning rate only, two seeds, watched at three steps."""
    return write_study(tmp_path_factory.mktemp("study"), arms=("full", "full_high", "lora"), steps=(0, 3, 30))


@pytest.fixture(scope="session")
def material(study: Path) -> Material:
    return load(study)


@pytest.fixture(scope="session")
def found(material: Material) -> Findings:
    return find(material)


@pytest.fixture(scope="session")
def report(study: Path) -> ReportPaths:
    return build_report(study)


@pytest.fixture(scope="session")
def page(report: ReportPaths) -> str:
    return report.html.read_text(encoding="utf-8")
