"""The graft map and the search, on runs whose effects are known."""

from __future__ import annotations

from pathlib import Path

import pytest

from sft_probe.report.charts import Chart, Missing, draw
from sft_probe.report.figures_grafts import graft_charts
from sft_probe.report.findings import Findings, find
from sft_probe.report.material import load
from sft_probe.report.words import Words
from sft_probe.schema import Measurement, Measurements
from sft_probe.store.documents import write_probes
from sft_probe.store.runs import RunStore

WORDS = Words("en")
GAIN = 8.0


def effects(dataset: str, size: float) -> list[Measurement]:
    """Block (2, mlp) carries three quarters; the others almost nothing."""
    rows = [Measurement(metric="graft_change", value=size, unit="nats", dataset=dataset, n=8)]
    for layer, module, share in ((1, "attention", 0.02), (1, "mlp", 0.0), (2, "mlp", 0.75), (3, "norm", 0.0)):
        for metric in ("graft_sufficiency", "graft_necessity"):
            value = share * size
            rows.append(
                Measurement(
                    metric=metric,
                    value=value,
                    unit="nats",
                    dataset=dataset,
                    layer=layer,
                    module=module,
                    ci_low=value - 0.5,
                    ci_high=value + 0.5,
                    null_value=0.0,
                    n=8,
                    n_clusters=8,
                )
            )
    return rows


def carried(seed: int) -> list[Measurement]:
    """Seeds differ in their second block."""
    path = ((2, "mlp", 0.75), ((1, "attention", 0.9), (1, "mlp", 1.0))[seed])
    rows = [
        Measurement(
            metric="graft_carried",
            value=share,
            unit="1",
            dataset="test",
            stratum=str(size),
            layer=layer,
            module=module,
            ci_low=share - 0.1,
            ci_high=share + 0.1,
            null_value=size / 4,
            n=4,
            n_clusters=4,
        )
        for size, (layer, module, share) in enumerate(path, start=1)
    ]
    needed = Measurement(
        metric="graft_blocks", value=2.0, unit="blocks", dataset="test", ci_low=1.0, ci_high=2.0
    )
    return [*rows, needed]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Findings:
    folder = tmp_path_factory.mktemp("grafts")
    store = RunStore(folder)
    for seed in (0, 1):
        config = {"arm": "full", "seed": seed, "digest": "d", "label": "full"}
        with store.open_run(f"full-seed{seed}", config=config, environment={"versions": {}}) as run:
            rows = [*effects("test", GAIN), *effects("all", -2.0), *carried(seed)]
            run.append(10, "grafting", Measurements(tuple(rows)))
            run.finish()
    write_probes(folder, {"grafting": {"question": "?"}})
    return find(load(folder))


def chart(found: Findings, name: str, words: Words = WORDS) -> Chart:
    (own,) = (one for one in graft_charts(found, words) if one.name == name)
    assert isinstance(own, Chart)
    return own


@pytest.mark.parametrize("name", ["graft_map", "graft_path"])
def test_both_figures_are_drawn_in_both_languages(found: Findings, name: str) -> None:
    for words in (WORDS, Words("zh")):
        own = chart(found, name, words)
        assert all("<svg" in panel for panel in draw(own).panels)
        assert {len(row) for row in own.table.rows} == {len(own.table.columns)}


def test_the_map_says_where_gain_and_loss_sit(found: Findings) -> None:
    own = chart(found, "graft_map")
    assert (
        own.title
        == "Of 8.0 nats gained in full, the mlp weights of layer 2 alone bring 6.0 (5.5\xa0to\xa06.5)"
    )
    gain, loss = (panel.alt for panel in own.panels)
    assert gain.count("mlp 2") == loss.count("mlp 2") == 2, (
        "alone and when reset; nothing else is beyond its null"
    )
    assert "attention" not in gain + loss
    assert "-1.50" in loss
    assert len(own.table.rows) == 16


def test_the_curve_is_the_mean_over_seeds_and_names_their_blocks(found: Findings) -> None:
    own = chart(found, "graft_path")
    assert "2 (1\xa0to\xa02)" in own.title
    first, second = own.table.rows
    assert [cell.text for cell in (first[2], second[2])] == ["mlp 2", "attention 1 / mlp 1"]
    assert second[3].value == pytest.approx(0.95)


def test_without_rows_the_reason_is_given(tmp_path: Path) -> None:
    config = {"arm": "full", "seed": 0, "digest": "d"}
    with RunStore(tmp_path).open_run("full-seed0", config=config, environment={"versions": {}}) as run:
        why = Measurement(metric="graft_change", value=float("nan"), unit="nats", why="a soft prompt")
        run.append(10, "grafting", Measurements((why,)))
        run.finish()
    assert graft_charts(find(load(tmp_path)), WORDS) == []
    write_probes(tmp_path, {"grafting": {"question": "?"}})
    (missing,) = graft_charts(find(load(tmp_path)), WORDS)
    assert isinstance(missing, Missing)
    assert "a soft prompt" in missing.reason
