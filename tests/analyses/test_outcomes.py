from __future__ import annotations

import pytest

from analyses.outcomes import Outcome, Prediction, above, all_of, by_seed, judge, outcome_table, within
from sft_probe.stats.intervals import Interval

YES, NO, OPEN = Outcome.REPRODUCED, Outcome.NOT_REPRODUCED, Outcome.INCONCLUSIVE
SAID = Prediction(key="1", sentence="it rises", rule="above 0")


@pytest.mark.parametrize(
    ("values", "outcome"),
    [
        ((0.9, 1.0, 1.1), YES),
        ((-0.9, -1.0, -1.1), NO),
        ((-1.0, 0.2, 1.3), OPEN),
        ((0.5, 0.5, 0.5), YES),  # no width: the value decides
        ((0.0, 0.0, 0.0), OPEN),  # nothing moved at all
        ((1.0,), OPEN),  # one seed is one run
        ((1.0, float("nan"), 1.1), OPEN),
        ((), OPEN),
    ],
)
def test_a_number_above_zero_in_every_seed_is_judged_by_its_interval(
    values: tuple[float, ...], outcome: Outcome
) -> None:
    assert above(by_seed(values)) is outcome


def test_the_limits_are_student_t_over_seeds() -> None:
    found = by_seed((1.0, 2.0, 3.0))
    assert found.low == pytest.approx(2 - 4.30265 / 3**0.5, abs=1e-4)


@pytest.mark.parametrize(
    ("low", "high", "outcome"),
    [(-0.01, 0.01, YES), (-0.01, 0.03, OPEN), (0.02, 0.05, NO), (-0.05, -0.03, NO), (-0.1, 0.1, OPEN)],
)
def test_as_good_as_zero_needs_the_whole_interval(low: float, high: float, outcome: Outcome) -> None:
    assert within(Interval(value=(low + high) / 2, low=low, high=high), 0.02) is outcome


def test_one_part_that_fails_settles_it() -> None:
    assert all_of([YES, YES]) is YES
    assert all_of([YES, OPEN]) is OPEN
    assert all_of([YES, OPEN, NO]) is NO
    assert all_of([]) is OPEN


def test_a_finding_says_numbers_and_outcome() -> None:
    table = outcome_table([judge(SAID, (0.9, 1.0, 1.1), what="rise")])
    assert "| 1 | it rises | above 0 | **reproduced** | rise: 1.000 (0.752 to 1.248, 3 seeds) |" in table
