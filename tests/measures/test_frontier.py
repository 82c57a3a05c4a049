import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sft_probe.measures.frontier import Place, common_level, first_at, hypervolume

SHARES = st.lists(st.floats(0, 1), min_size=1, max_size=6)


def test_a_level_is_met_between_two_models() -> None:
    place = first_at(np.array([0.0, 0.2, 0.6, 0.5]), 0.4)
    assert place is not None
    assert place == Place(1, pytest.approx(0.5))
    assert place.of(np.array([1.0, 0.8, 0.4, 0.0])) == pytest.approx(0.6)
    assert first_at(np.array([0.0, 0.2]), 0.4) is None
    assert first_at(np.array([0.5, 0.2]), 0.4) == Place(0, 0.0)


def test_the_area_under_two_models() -> None:
    assert hypervolume(np.array([0.5]), np.array([0.8])) == pytest.approx(0.4)
    assert hypervolume(np.array([0.5, 1.0]), np.array([0.8, 0.4])) == pytest.approx(0.5 * 0.8 + 0.5 * 0.4)
    assert hypervolume(np.array([-0.5]), np.array([0.8])) == 0


@given(SHARES, st.floats(0, 1), st.floats(0, 1))
def test_one_more_model_never_takes_area_away(values: list[float], x: float, y: float) -> None:
    gained, kept = np.array(values), np.array(values[::-1])
    more = hypervolume(np.append(gained, x), np.append(kept, y))
    assert more >= hypervolume(gained, kept) - 1e-12
    assert more >= x * y - 1e-12


def test_arms_that_learned_next_to_nothing_do_not_set_the_level() -> None:
    assert common_level(np.array([0.9, 0.5, 0.02])) == 0.5
    assert np.isnan(common_level(np.array([0.0, -0.1])))
