"""Pure parts of the benchmarks, and each of them on a demo that is small enough to be run by CI."""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from analyses.performance import cka, fused_battery, growth, material, training_overhead, weight_change
from analyses.performance.bench import Settings, Timing, require
from analyses.performance.floor import Floor
from analyses.performance.training_overhead import Watched, steps_until
from sft_probe.schema import Measurement, Measurements
from sft_probe.study.templates import read_template

SMALLER = {
    "max_train_rows: 1000": "max_train_rows: 64",
    "max_test_rows: 160": "max_test_rows: 8",
    "max_steps: 60": "max_steps: 2",
    "limit: 80": "limit: 4",
    "limit: 120": "limit: 6",
}


def test_floor_counts_every_distinct_token_once() -> None:
    floor = Floor.of([((1, 2, 3), 1), ((1, 2), 0), ((1, 2, 4, 5), 2), ((9,), 0), ((1, 2, 3), 1)])
    assert floor.tokens == len({(1,), (1, 2), (1, 2, 3), (1, 2, 4), (1, 2, 4, 5), (9,)})
    assert sorted(passage.ids[:-1] for passage in floor.passages) == [(1, 2, 3), (1, 2, 4, 5), (9,)]


def test_floor_of_nothing() -> None:
    assert Floor.of([]).tokens == 0


def test_slope_on_logarithmic_axes() -> None:
    assert growth.slope({n: 0.3 * n**1.5 for n in (1, 2, 4, 8)}) == pytest.approx(1.5)
    flat = {1: Timing((2.0,), (2.0,)), 2: Timing((2.0,), (2.0,)), 4: Timing((2.0,), (2.0,))}
    assert [row.value for row in growth.rows_of("items", flat)] == pytest.approx([0, 0], abs=1e-12)


def test_steps_until_batteries_are_cheap() -> None:
    def training(steps: int) -> Watched:
        seconds = 5 + 0.1 * steps
        return Watched(inside=(12.0, 12.0), outside=(seconds, seconds))

    short, long = training(training_overhead.STEPS), training(training_overhead.LONGER)
    assert steps_until(40, short, long) == pytest.approx((12 / 0.4 - 5) / 0.1)
    assert short.shares == pytest.approx((100 * 12 / 11, 100 * 12 / 11))


def test_answers_that_differ_stop_a_benchmark() -> None:
    row = Measurement(metric="share", value=0.5, unit="1")
    found = {"probe": Measurements((row, row))}
    assert fused_battery.agreement(found, found) == "all 2 rows to 0e+00"
    with pytest.raises(AssertionError, match="differ"):
        fused_battery.agreement(found, {"probe": Measurements((row, replace(row, value=0.6)))})


def test_biased_cka_of_equal_states() -> None:
    states = np.random.default_rng(0).normal(size=(50, 6)).astype(np.float32)
    assert cka.biased_cka(states, 3 * states + 1) == pytest.approx(1, abs=1e-6)


def test_a_missing_tool_is_named_with_what_to_install() -> None:
    assert list(require(numpy="numpy")) == ["numpy"]
    with pytest.raises(SystemExit, match="no_such_tool cannot be imported: run `python -m pip install it`"):
        require(no_such_tool="it", numpy="numpy")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["fused_battery", "cka", "training_overhead", "weight_change", "growth"])
def test_benchmarks_on_a_small_demo(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    peers = {"cka": ("torch_cka", "netrep"), "weight_change": ("weightwatcher",)}
    if missing := [peer for peer in peers.get(name, ()) if find_spec(peer) is None]:
        pytest.skip(f"{missing} not installed")
    shrink(monkeypatch)
    settings = Settings(output_dir=tmp_path / "out", work=tmp_path / "work", repetitions=1)
    result: Any = import_module(f"analyses.performance.{name}").run(settings)
    assert result.name == name
    assert any(row.goal for row in result.rows)
    assert all(np.isfinite(row.value) for row in result.rows)
    assert not result.figure or (tmp_path / "out" / "figures" / result.figure).is_file()


def shrink(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make everything so small that figures mean nothing, but all lines run."""
    text = read_template("demo")
    for large, small in SMALLER.items():
        assert large in text
        text = text.replace(large, small)
    for module in (material, fused_battery):
        monkeypatch.setattr(module, "read_template", lambda _: text)
    monkeypatch.setattr(fused_battery, "BESIDE", ("layer_readouts", "memorisation", "refusal"))
    monkeypatch.setattr(training_overhead, "STEPS", 2)
    monkeypatch.setattr(training_overhead, "LONGER", 4)
    monkeypatch.setattr(cka, "TOKENS", (64, 1100))
    monkeypatch.setattr(cka, "MEMORY_TOKENS", (500, 5000))
    monkeypatch.setattr(cka, "PEER_MEMORY_TOKENS", (500,))
    monkeypatch.setattr(growth, "ITEMS", (4, 8))
    monkeypatch.setattr(growth, "LAYERS", (1, 2))
    monkeypatch.setattr(growth, "CHECKPOINTS", (1, 2))
    monkeypatch.setattr(growth, "ARMS", (1, 2))
    small = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "vocab_size": 128}
    monkeypatch.setattr(weight_change, "MIDDLE", small)
    monkeypatch.setattr("analyses.performance.weight_files_7b.SHAPE", {**small, "num_attention_heads": 2})
