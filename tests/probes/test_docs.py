import sys
from dataclasses import fields
from math import isnan
from pathlib import Path

import pytest

from sft_probe.probes.base import Probe
from sft_probe.probes.rows import Metric
from sft_probe.registry import available, load

PAGE = (Path(__file__).parents[2] / "docs" / "probes.md").read_text(encoding="utf-8")
SECTIONS = {part.partition("\n")[0]: part for part in PAGE.split("\n## ")[1:]}
OURS = [name for name, entry in available("probes").items() if entry.value.startswith("sft_probe.")]


@pytest.mark.parametrize("name", OURS)
def test_every_probe_is_documented(name: str) -> None:
    probe = load("probes", name)
    section = " ".join(SECTIONS[name].split())
    assert probe.about.question in section
    assert probe.about.question in PAGE.partition("\n## ")[0]
    assert f"Axis: {probe.about.axis}." in section
    for word in ("**Null**", "**How to read it**", "**Blind spots**", "**Source**", "**Options**"):
        assert word in section
    for option in fields(probe):
        assert f"`{option.name}`" in section


@pytest.mark.parametrize("name", OURS)
def test_every_metric_is_documented_with_its_unit(name: str) -> None:
    module = sys.modules[load("probes", name).__module__]
    own = [value for value in vars(module).values() if isinstance(value, Metric)]
    metrics = {*own, *getattr(module, "METRICS", ())}
    assert metrics
    for metric in metrics:
        (line,) = (line for line in SECTIONS[name].splitlines() if line.startswith(f"| `{metric.name}` |"))
        unit, null, better = (cell.strip() for cell in line.strip("| ").split(" | ")[-3:])
        assert (unit, better) == (metric.unit, metric.better)
        assert isnan(metric.null) if null in ("base", "none") else float(null) == metric.null


@pytest.mark.parametrize("name", OURS)
def test_a_probe_says_what_it_is(name: str) -> None:
    kind = load("probes", name)
    probe = kind()
    assert isinstance(probe, Probe)
    assert kind.name == name
    assert probe.about.question.endswith("?")
    assert all((probe.about.source, probe.about.null, probe.about.blind_spots))
    assert probe == kind()
    assert eval(repr(probe), {kind.__name__: kind}) == probe  # its repr rebuilds it
