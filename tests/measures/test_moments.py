import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sft_probe.measures.geometry import cka_without_groups, debiased_cka, drift_without_groups, zscore
from sft_probe.measures.moments import Likeness, PairMoments, PairStream

GOLDEN = json.loads((Path(__file__).parent.parent / "golden" / "cka.json").read_text())


@st.composite
def pairs(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Related states far from the origin, on very different scales, in two to four groups."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    rows, width = draw(st.integers(8, 60)), draw(st.integers(2, 20))
    scale = 10.0 ** rng.integers(-2, 3, size=width)
    x = (rng.normal(size=(rows, width)) + 5) * scale
    y = x + draw(st.sampled_from([0.01, 1.0, 10.0])) * rng.normal(size=(rows, width)) * scale
    return x, y, np.arange(rows) % draw(st.integers(2, 4))


def moments_of(x: np.ndarray, y: np.ndarray, groups: np.ndarray) -> PairMoments:
    found = PairMoments.empty(np.stack([x[0], y[0]]), int(groups.max()) + 1)
    found.add(x, y, groups)
    return found


def direct(x: np.ndarray, y: np.ndarray, groups: np.ndarray) -> Likeness:
    """The same statistics from all rows at once."""
    return Likeness(
        cka_without_groups(x, y, groups),
        cka_without_groups(zscore(x), zscore(y), groups),
        drift_without_groups(x, y, groups),
    )


def values(found: Likeness) -> np.ndarray:
    return np.concatenate([[part.value, *part.without] for part in found])


@given(pairs())
def test_equal_to_the_statistics_of_all_rows_at_once(pair: tuple[np.ndarray, ...]) -> None:
    x, y, groups = pair
    np.testing.assert_allclose(
        values(moments_of(x, y, groups).likeness()), values(direct(x, y, groups)), 1e-7
    )


@given(pairs(), st.lists(st.integers(0, 60), max_size=5))
def test_any_split_into_batches_gives_the_same(pair: tuple[np.ndarray, ...], cuts: list[int]) -> None:
    x, y, groups = pair
    whole = moments_of(x, y, groups)
    parts = PairMoments.empty(whole.shift, len(whole.moved))
    for rows in np.split(np.arange(len(x)), sorted(cut for cut in cuts if cut < len(x))):
        parts.add(x[rows], y[rows], groups[rows])
    np.testing.assert_allclose(parts.xy, whole.xy, rtol=1e-10, atol=1e-10 * abs(whole.xy).max())
    np.testing.assert_allclose(parts.cka().value, whole.cka().value, rtol=1e-10)
    np.testing.assert_allclose(parts.drift().value, whole.drift().value, rtol=1e-10)


@given(pairs(), st.integers(2, 50), st.integers(2, 50))
def test_merging_is_associative(pair: tuple[np.ndarray, ...], first: int, second: int) -> None:
    x, y, groups = pair
    shift, count = np.stack([x[0], y[0]]), int(groups.max()) + 1
    a, b, c = (PairMoments.empty(shift, count) for _ in range(3))
    cuts = sorted((min(first, len(x)), min(second, len(x))))
    for part, rows in zip((a, b, c), np.split(np.arange(len(x)), cuts), strict=True):
        part.add(x[rows], y[rows], groups[rows])
    left, right = (a + b) + c, a + (b + c)
    np.testing.assert_allclose(left.cka().value, right.cka().value, rtol=1e-10)
    np.testing.assert_allclose(
        values(left.likeness()), values(moments_of(x, y, groups).likeness()), rtol=1e-7
    )


def test_moments_about_different_shifts_are_not_added() -> None:
    a, b = PairMoments.empty(np.zeros((2, 3)), 1), PairMoments.empty(np.ones((2, 3)), 1)
    with pytest.raises(ValueError, match="shifts"):
        a + b


def test_published_value() -> None:
    case = GOLDEN["google_demo"]
    state = np.random.RandomState(case["seed"])
    x = state.randn(case["rows"], case["width"])
    y = state.randn(case["rows"], case["width"]) + x
    found = moments_of(x, y, np.zeros(len(x), dtype=int)).cka().value
    assert found == pytest.approx(case["cka"], abs=5e-6)
    assert found == pytest.approx(debiased_cka(x, y), rel=1e-12)


def test_a_massive_dimension_does_not_spoil_the_rest() -> None:
    """Hidden states of large models have dimensions a thousand times as large as the others."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(500, 32))
    x[:, 7] = 3000 + 100 * rng.normal(size=500)
    y, groups = x + 1e-3 * rng.normal(size=x.shape), np.arange(500) % 20
    np.testing.assert_allclose(
        values(moments_of(x, y, groups).likeness()), values(direct(x, y, groups)), 1e-9
    )


def test_undefined_cases() -> None:
    x = np.random.default_rng(0).normal(size=(10, 3))
    one = np.zeros(10, dtype=int)
    assert np.isnan(moments_of(x[:3], x[:3], one[:3]).cka().value)
    assert np.isnan(moments_of(np.ones((10, 3)), x, one).cka().value)
    assert np.isnan(moments_of(x, np.ones((10, 3)), one).drift().value)
    assert np.isnan(moments_of(x, x, one).cka().without).all()


@pytest.mark.parametrize("room", [0, 2**30])
def test_a_stream_gives_the_same_whether_rows_or_moments_are_kept(room: int) -> None:
    rng = np.random.default_rng(1)
    x = (rng.normal(size=(7000, 4)) + 3).astype(np.float32)
    y, groups = x + rng.normal(size=x.shape).astype(np.float32), rng.integers(0, 5, size=len(x))
    stream = PairStream(5, room)
    for rows in np.array_split(np.arange(len(x)), 50):
        stream.add(x[rows], y[rows], groups[rows])
    assert (stream._moments is not None) == (room == 0)
    expected = values(direct(x.astype(float), y.astype(float), groups))
    np.testing.assert_allclose(values(stream.likeness()), expected, 1e-9)
    np.testing.assert_allclose(values(stream.likeness()), expected, 1e-9)


def test_a_stream_puts_groups_together_before_it_outgrows_its_room() -> None:
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(2, 4000, 8)).astype(np.float32)
    groups = np.arange(4000) % 20
    stream = PairStream(20, room=2**14)
    stream.add(x, y, groups)
    found, apart = stream.likeness(), direct(x.astype(float), y.astype(float), groups)
    assert found.cka.without.size == 5
    assert found.cka.value == pytest.approx(apart.cka.value, rel=1e-9)
