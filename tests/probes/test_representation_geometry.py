from collections.abc import Callable

import numpy as np
import pytest

from sft_probe.data.examples import Example
from sft_probe.errors import SpecError
from sft_probe.measures.alignment import procrustes_angle, rsa
from sft_probe.observe.needs import StatePlace, States
from sft_probe.observe.observations import Observed, StatesSeen
from sft_probe.probes.representation_geometry import PERMUTED, RepresentationGeometry
from sft_probe.schema import Measurement

Find = Callable[..., Measurement]
PROBE = RepresentationGeometry(subspace=(1, 4))
RNG = np.random.default_rng(0)
STATES = (RNG.normal(size=(2, 240, 16)) * np.linspace(3, 1, 16)).astype(np.float32)
LIKENESSES = {"procrustes_angle": 0.0, "rsa": 1.0, "svcca": 1.0, "pwcca": 1.0}


def observed(states: np.ndarray, probe: RepresentationGeometry = PROBE) -> Observed:
    """Four positions per example."""
    (need,) = probe.needs()
    assert isinstance(need, States)
    count = states.shape[1]
    seen = StatesSeen(
        examples=tuple(Example(id=str(i), target="text") for i in range(-(-count // 4))),
        example=np.arange(count) // 4,
        position=1 + np.arange(count) % 4,
        layers=tuple(range(len(states))),
        states=states.astype(np.float32),
    )
    return Observed({need: seen})


BASE = observed(STATES)


def test_the_base_did_not_move(find: Find) -> None:
    found = PROBE.measure(BASE, BASE)
    for metric, null in LIKENESSES.items():
        row = find(found, metric, layer=1)
        assert (row.value, row.ci_low, row.ci_high) == pytest.approx((null,) * 3, abs=1e-6)
        assert (row.n, row.n_clusters, row.null_value) == (240, 60, null)
    assert find(found, "anisotropy_change", layer=0).value == 0
    assert find(found, "subspace_overlap", layer=0, module="top 4").value == pytest.approx(1)
    assert find(found, "rows_per_dimension", layer=0).value == 15


def test_each_measure_forgives_what_it_should(find: Find) -> None:
    """A rotation is forgiven by all, a stretch by CCA only, other states by none."""
    turn = np.linalg.qr(RNG.normal(size=(16, 16)))[0]
    turned, stretched, other = (
        PROBE.measure(observed(states), BASE)
        for states in (STATES @ turn, STATES * np.linspace(0.2, 5, 16), RNG.normal(size=STATES.shape))
    )
    assert find(turned, "procrustes_angle", layer=0).value == pytest.approx(0, abs=1e-3)
    assert find(turned, "svcca", layer=0).value == pytest.approx(1, abs=1e-3)
    assert find(stretched, "procrustes_angle", layer=0).value > 0.3
    assert find(stretched, "pwcca", layer=0).value > 0.95
    for metric in LIKENESSES:
        floor = find(other, metric, layer=0, module=PERMUTED)
        assert np.isnan(floor.null_value)
        assert find(other, metric, layer=0).value == pytest.approx(floor.value, abs=0.15)
    assert abs(find(other, "subspace_overlap", layer=0, module="top 1").value) < 0.3


def test_a_common_direction_is_anisotropy_but_not_after_centring(find: Find) -> None:
    shifted = STATES.copy()
    shifted[:, :, 15] += 20
    found = PROBE.measure(observed(shifted), BASE)
    assert find(found, "anisotropy", layer=0).value > 0.8
    assert find(found, "anisotropy_change", layer=0).ci_low > 0.5
    assert find(found, "anisotropy", layer=0, module="centred").value == pytest.approx(0, abs=0.02)


def test_values_are_those_of_the_measures(find: Find) -> None:
    tuned = STATES + 0.5 * RNG.normal(size=STATES.shape).astype(np.float32)
    found = PROBE.measure(observed(tuned), BASE)
    x, y = tuned[1].astype(float), STATES[1].astype(float)
    row = find(found, "procrustes_angle", layer=1)
    assert row.value == pytest.approx(procrustes_angle(x, y), abs=1e-6)
    assert row.ci_low < row.value < row.ci_high
    assert find(found, "rsa", layer=1).value == pytest.approx(rsa(x[::2], y[::2]), abs=1e-6)


def test_too_few_positions_say_so(find: Find) -> None:
    few = observed(STATES[:, :8])
    row = find(PROBE.measure(few, few), "svcca", layer=0, module=PERMUTED)
    assert np.isfinite(row.value) or row.why
    whole = RepresentationGeometry(subspace=(16,))
    row = find(
        whole.measure(observed(STATES, whole), observed(STATES, whole)),
        "subspace_overlap",
        layer=0,
        module="top 16",
    )
    assert np.isnan(row.value)
    assert row.why


@pytest.mark.parametrize("place", ["attention", "mlp"])
def test_other_places(place: StatePlace) -> None:
    probe = RepresentationGeometry(place=place)
    assert probe.needs()[0].place == place


@pytest.mark.parametrize(("option", "value"), [("positions", 0), ("subspace", (0,)), ("place", "head")])
def test_bad_options_are_refused_by_name(option: str, value: object) -> None:
    with pytest.raises(SpecError, match=f"probes.representation_geometry.{option}"):
        RepresentationGeometry(**{option: value})  # type: ignore[arg-type]
