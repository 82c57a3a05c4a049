from __future__ import annotations

from collections.abc import Callable
from math import isnan

import pandas as pd
import pytest

from analyses.readings import at_end, course, slope

Tidy = Callable[..., pd.DataFrame]


def test_a_course_has_steps_down_and_seeds_across(tidy: Tidy) -> None:
    rows = pd.concat(
        [
            tidy("full", "probe", "share", {8: [0.8, 0.9], 0: [0.1, 0.2]}, dataset="test"),
            tidy("full", "probe", "share", {8: [0.5, 0.5]}, dataset="test", stratum="K1"),
            tidy("lora", "probe", "share", {8: [0.0, 0.0]}, dataset="test"),
        ]
    )
    found = course(rows, "full", "probe", "share")
    assert list(found.index) == [0, 8]
    assert list(at_end(rows, "full", "probe", "share", dataset="test")) == [0.8, 0.9]
    assert list(at_end(rows, "full", "probe", "share", stratum="K1")) == [0.5, 0.5]


def test_a_number_that_is_not_there_or_there_twice_is_refused(tidy: Tidy) -> None:
    rows = pd.concat([tidy("full", "probe", "share", {8: [0.8]}, dataset=name) for name in ("test", "train")])
    with pytest.raises(LookupError, match="no row of arm 'full' has probe/accuracy"):
        course(rows, "full", "probe", "accuracy")
    with pytest.raises(ValueError, match="duplicate"):
        course(rows, "full", "probe", "share")


def test_the_slope_is_that_of_least_squares_seed_by_seed() -> None:
    found = slope({0.0: pd.Series([1.0, 0.0]), 0.2: pd.Series([0.8, 0.0]), 0.4: pd.Series([0.6, 0.4])})
    assert found[0] == pytest.approx(-1.0)
    assert found[1] == pytest.approx(1.0)  # (0.2 * 0.4) / (2 * 0.2 ** 2)
    assert isnan(slope({0.0: pd.Series([1.0]), 0.2: pd.Series([float("nan")])})[0])
