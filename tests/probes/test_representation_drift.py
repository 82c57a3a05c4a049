from collections.abc import Callable

import numpy as np
import pytest

from sft_probe.data.examples import Example
from sft_probe.errors import SpecError
from sft_probe.measures.geometry import cka_without_groups, drift_without_groups, zscore
from sft_probe.measures.moments import PairStream
from sft_probe.observe.needs import StateLikeness, StatePlace, States
from sft_probe.observe.observations import Observed, StateLikenessSeen
from sft_probe.observe.observer import Observer
from sft_probe.probes.representation_drift import RepresentationDrift
from sft_probe.schema import Measurement
from sft_probe.stats.resampling import balanced_groups, jackknife_interval
from sft_probe.testing.tiny import tiny_base, tiny_data, tiny_tuned

Find = Callable[..., Measurement]
PROBE = RepresentationDrift()
RNG = np.random.default_rng(0)
STATES = RNG.normal(size=(3, 200, 32)).astype(np.float32)


def observed(states: np.ndarray, base: np.ndarray = STATES, *, clusters: int = 0) -> Observed:
    """Four positions per example; examples in `clusters` documents, or each on its own."""
    positions = states.shape[1]
    count = -(-positions // 4)
    codes = np.arange(count) % clusters if clusters else np.arange(count)
    groups = balanced_groups(codes)[np.arange(positions) // 4]
    streams = [PairStream(int(groups.max()) + 1) for _ in states]
    for stream, x, y in zip(streams, states, base, strict=True):
        stream.add(x, y, groups)
    found = [stream.likeness() for stream in streams]
    cka, zscored, drift = (
        np.array([[part.value, *part.without] for part in parts]) for parts in zip(*found, strict=True)
    )
    seen = StateLikenessSeen(
        examples=tuple(Example(id=str(i), target="text") for i in range(count)),
        n=positions,
        n_clusters=len(set(codes.tolist())),
        layers=tuple(range(len(states))),
        cka=cka,
        cka_zscored=zscored,
        drift=drift,
    )
    return Observed({StateLikeness(dataset="test", limit=150): seen})


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
    few = observed(STATES[:, :3], STATES[:, :3])
    row = find(PROBE.measure(few, few), "cka", layer=0)
    assert np.isnan(row.value)
    assert row.why.startswith("fewer than 4 positions")


@pytest.mark.parametrize("place", ["attention", "mlp"])
def test_other_places_are_named_in_the_column_for_modules(place: StatePlace) -> None:
    probe = RepresentationDrift(place=place)
    (need,) = probe.needs()
    seen = Observed({need: BASE[PROBE.needs()[0]]})
    assert {row.module for row in probe.measure(seen, seen).rows} == {place}


def test_the_numbers_are_those_of_all_states_at_once(find: Find) -> None:
    base = tiny_base()
    tuned, kept = tiny_tuned(base), States(dataset="text", limit=150)
    probe = RepresentationDrift(dataset="text")
    observer = Observer(base, tiny_data(40))
    found = probe.measure(observer.look(tuned, probe.needs()), observer.look_at_base(probe.needs()))
    after, before = observer.look(tuned, [kept])[kept], observer.look_at_base([kept])[kept]
    groups = balanced_groups(after.example)
    for layer, x, y in zip(
        after.layers, after.states.astype(float), before.states.astype(float), strict=True
    ):
        for metric, expected in (
            ("cka", cka_without_groups(x, y, groups)),
            ("cka_zscored", cka_without_groups(zscore(x), zscore(y), groups)),
            ("relative_drift", drift_without_groups(x, y, groups)),
        ):
            row = find(found, metric, layer=layer)
            assert row.value == pytest.approx(expected.value, abs=1e-6)
            assert row.se == pytest.approx(jackknife_interval(expected.value, expected.without).se, abs=1e-6)
            assert row.n == len(groups)


@pytest.mark.parametrize(
    ("option", "value"), [("positions", 0), ("limit", 0.5), ("dataset", ""), ("place", "head")]
)
def test_bad_options_are_refused_by_name(option: str, value: object) -> None:
    with pytest.raises(SpecError, match=f"'probes.representation_drift.{option}'"):
        RepresentationDrift(**{option: value})  # type: ignore[arg-type]
