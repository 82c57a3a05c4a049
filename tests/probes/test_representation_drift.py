import time
from collections.abc import Callable

import numpy as np
import pytest

from sft_probe.data.examples import Example
from sft_probe.errors import SpecError
from sft_probe.observe.needs import States
from sft_probe.observe.observations import Observed, StatesSeen
from sft_probe.probes.representation_drift import RepresentationDrift
from sft_probe.schema import Measurement

Find = Callable[..., Measurement]
PROBE = RepresentationDrift()
RNG = np.random.default_rng(0)
STATES = RNG.normal(size=(3, 200, 32)).astype(np.float32)


def observed(states: np.ndarray, *, clusters: int = 0) -> Observed:
    """Four positions per example; examples in `clusters` documents, or each on its own."""
    layers, positions, _ = states.shape
    count = -(-positions // 4)
    examples = tuple(
        Example(id=str(i), target="text", cluster=f"doc{i % clusters}" if clusters else "")
        for i in range(count)
    )
    seen = StatesSeen(
        examples=examples,
        example=np.arange(positions) // 4,
        position=np.arange(positions) % 4 + 1,
        layers=tuple(range(layers)),
        states=states,
    )
    return Observed({States(dataset="test", limit=150): seen})


BASE = observed(STATES)


def test_the_base_did_not_move() -> None:
    found = PROBE.measure(BASE, BASE)
    assert {(row.metric, row.layer) for row in found.rows} == {
        (metric, layer) for metric in ("cka", "cka_zscored", "relative_drift") for layer in range(3)
    }
    for row in found.rows:
        limits = (row.value, row.ci_low, row.ci_high)
        assert limits == pytest.approx((row.null_value,) * 3, abs=1e-9)
        assert (row.n, row.n_clusters, row.dataset) == (200, 50, "test")


def test_drift_grows_where_noise_was_added(find: Find) -> None:
    noise = np.array([0.0, 0.3, 3.0])[:, None, None] * RNG.normal(size=STATES.shape)
    found = PROBE.measure(observed((STATES + noise).astype(np.float32)), BASE)
    cka = [find(found, "cka", layer=layer) for layer in range(3)]
    assert cka[0].value > cka[1].value > cka[2].value
    assert cka[1].ci_low < cka[1].value < cka[1].ci_high < 1
    drift = [find(found, "relative_drift", layer=layer).value for layer in range(3)]
    assert drift == pytest.approx([0, 0.3, 3], rel=0.05)


def test_a_rotation_is_drift_but_the_same_geometry(find: Find) -> None:
    turn = np.linalg.qr(RNG.normal(size=(32, 32)))[0]
    found = PROBE.measure(observed((STATES @ turn).astype(np.float32)), BASE)
    assert find(found, "cka", layer=1).value == pytest.approx(1, abs=1e-5)
    assert find(found, "relative_drift", layer=1).value > 1


def test_examples_of_a_document_are_one_cluster(find: Find) -> None:
    tuned = (STATES + 0.5 * RNG.normal(size=STATES.shape)).astype(np.float32)
    row = find(PROBE.measure(observed(tuned, clusters=7), BASE), "cka", layer=0)
    assert row.n_clusters == 7


def test_too_few_positions_are_undefined(find: Find) -> None:
    few = observed(STATES[:, :3])
    row = find(PROBE.measure(few, few), "cka", layer=0)
    assert np.isnan(row.value)
    assert row.why.startswith("fewer than 4 positions")


def test_it_is_cheap_enough_for_every_look() -> None:
    states = RNG.normal(size=(9, 600, 192)).astype(np.float32)
    before, after = observed(states), observed(states + np.float32(0.1))
    start = time.process_time()
    PROBE.measure(after, before)
    assert time.process_time() - start < 5  # about 0.3 s on an idle core


@pytest.mark.parametrize(("option", "value"), [("positions", 0), ("limit", 0.5), ("dataset", "")])
def test_bad_options_are_refused_by_name(option: str, value: object) -> None:
    with pytest.raises(SpecError, match=f"'probes.representation_drift.{option}'"):
        RepresentationDrift(**{option: value})  # type: ignore[arg-type]
