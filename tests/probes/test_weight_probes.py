"""Spectra, intruders, their shrinking and the line between models: on known changes, and on planted ones."""

from __future__ import annotations

import copy
from collections.abc import Callable
from math import isnan
from typing import Any

import numpy as np
import pandas as pd
import pytest

from sft_probe.models.load import fresh_copy
from sft_probe.observe.needs import Weights
from sft_probe.observe.observations import Observed, WeightDelta, WeightsSeen
from sft_probe.observe.weights import weights_seen
from sft_probe.probes.base import Probe
from sft_probe.probes.intruder_dimensions import IntruderDimensions
from sft_probe.probes.weight_change import WeightChange
from sft_probe.probes.weight_spectra import WeightSpectra
from sft_probe.schema import Measurement, Measurements
from sft_probe.testing.tiny import tiny_base, tiny_lora

Find = Callable[..., Measurement]
WEIGHT_PROBES: tuple[Probe, ...] = (WeightChange(), WeightSpectra(k=3), IntruderDimensions(k=5))
SIDE, RNG = 48, np.random.default_rng(0)
BASE = (RNG.normal(size=(SIDE, SIDE)) * np.linspace(1, 0.02, SIDE)).astype(np.float32)


def of(change: np.ndarray, *, factors: Any = None, name: str = "w") -> Observed:
    delta = WeightDelta(
        name=name, layer=1, module="mlp", base=BASE, delta=change.astype(np.float32), factors=factors
    )
    return Observed({Weights(): WeightsSeen(iterate=lambda: iter((delta,)))})


def rows_of(model: Any, base: Any) -> dict[tuple[object, ...], float]:
    seen = Observed({Weights(): weights_seen(model, base)})
    found = [row for probe in WEIGHT_PROBES for row in probe.measure(seen, seen).rows]
    return {(row.metric, row.layer, row.module): row.value for row in found}


def measured(probe: Probe, seen: Observed) -> Measurements:
    return probe.measure(seen, seen)


def test_a_change_of_known_singular_values(find: Find) -> None:
    """4, 2 and 1: 16/21 of the energy in one direction, 20/21 in two."""
    left, right = (np.linalg.qr(RNG.normal(size=(SIDE, 3)))[0] for _ in range(2))
    found = measured(WeightSpectra(k=3), of(left @ np.diag([4.0, 2.0, 1.0]) @ right.T))
    values = {
        "rank": 3,
        "effective_rank": 7 / (4**4 * 2**2) ** (1 / 7),  # exp of the entropy of 4/7, 2/7 and 1/7
        "participation_ratio": 21**2 / (4**4 + 2**4 + 1),
        "r90": 2,
        "spectral_ratio": 4 / np.linalg.norm(BASE, 2),
    }
    for metric, value in values.items():
        assert find(found, metric, layer=-1, module="all").value == pytest.approx(value, rel=1e-5), metric
    for top, share in {1: 16 / 21, 2: 20 / 21, 4: 1}.items():
        assert find(found, "energy_in_top", module=f"top {top}").value == pytest.approx(share)
    theirs = np.linalg.svd(BASE)[0][:, :3]
    output = find(found, "overlap_output", layer=1, module="mlp")
    assert output.value == pytest.approx(((left.T @ theirs) ** 2).sum() / 3, rel=1e-3)
    assert output.null_value == 3 / SIDE


def test_noise_has_the_r90_of_noise_and_what_the_base_does_already_overlaps(find: Find) -> None:
    noise = find(measured(WeightSpectra(), of(RNG.normal(size=BASE.shape))), "r90", layer=1, module="mlp")
    assert noise.value == pytest.approx(noise.null_value, abs=2)
    stronger = find(measured(WeightSpectra(), of(0.2 * BASE)), "overlap_input", layer=1, module="mlp")
    assert stronger.value == pytest.approx(1)
    assert stronger.null_value == 8 / SIDE


def test_no_change_shows_nothing(find: Find) -> None:
    spectra, intruders = (measured(probe, of(0 * BASE)) for probe in WEIGHT_PROBES[1:])
    assert isnan(find(spectra, "r90", layer=-1, module="all").value)
    assert find(intruders, "intruders", layer=-1, module="all").value == 0
    assert find(intruders, "intruder_score", layer=-1, module="all").value == 0
    broken = measured(WEIGHT_PROBES[2], of(np.full(BASE.shape, np.nan)))
    assert find(broken, "intruders", layer=-1, module="all").why


def test_a_planted_direction_stands_above_random_changes(find: Find) -> None:
    one, other = (v / np.linalg.norm(v) for v in RNG.normal(size=(2, SIDE)))
    size = 1.6 * np.linalg.norm(BASE, 2)
    found = measured(IntruderDimensions(k=5), of(size * np.outer(one, other)))
    row = find(found, "intruders", layer=1, module="mlp")
    assert row.value == 1
    assert find(found, "intruders_gaussian", layer=1, module="mlp").value == 0
    assert find(found, "intruders_rotated", layer=1, module="mlp").value == row.null_value == 1, (
        "a random change with the same singular value intrudes as well: its direction is as new"
    )


def test_an_adapter_counts_alike_merged_and_beside_the_weights() -> None:
    base = tiny_base()
    beside: Any = tiny_lora(base, rank=2).eval()
    merged = copy.deepcopy(beside).merge_and_unload()
    one, other = (rows_of(model, base.model) for model in (beside, merged))
    assert one.keys() == other.keys()
    for key, value in one.items():
        assert other[key] == pytest.approx(value, rel=5e-3, abs=1e-3, nan_ok=True), key
    ranks = [value for key, value in one.items() if key[0] == "rank" and not isnan(value)]
    assert ranks
    assert max(ranks) <= 2
    assert rows_of(fresh_copy(base), base.model)["relative_norm", -1, "all"] == 0


def test_change_is_planted_where_it_is_found(planted_study: Callable[..., pd.DataFrame]) -> None:
    """Layers 3 to 4 alone, rank 4, and no dose: what the probes of weights must say of each."""
    rows = planted_study(
        ["weight_change", "weight_spectra", "intruder_dimensions"],
        {
            "layers": {"method": "layers", "method_options": {"first": 3, "last": 4}},
            "lora": {"method": "lora", "method_options": {"r": 4}},
            "still": {"learning_rate": 1e-12},
        },
        {
            "train": "planted:question_answering/train",
            "test": "planted:question_answering/test",
            "max_train_rows": 200,
            "max_test_rows": 8,
        },
        max_steps=15,
    )
    end = rows[rows.step == 15].set_index(["arm", "metric", "layer", "module"])["value"]
    norms = end.xs("relative_norm", level="metric").xs("all", level="module")
    moved = norms["layers"][norms["layers"].index >= 0]
    assert sorted(moved[moved > 0].index) == [3, 4], "change starts at 3 and ends at 4"
    ranks = end.xs("rank", level="metric")["lora"].dropna()
    assert (ranks <= 4).all()
    assert len(ranks) > 6
    assert norms["still"][-1] < 1e-6
    assert end["still", "intruders", -1, "all"] == 0
    assert end["still", "intruder_score", -1, "all"] < 1e-3
    dynamics = rows[(rows.probe == "training_dynamics") & (rows.arm == "layers")]
    assert set(dynamics[dynamics.metric == "update_ratio"].layer) == {-1, 3, 4}
