from __future__ import annotations

import math

import pytest

from sft_probe.report import numbers
from sft_probe.report.numbers import Value


@pytest.mark.parametrize(
    ("value", "kind", "shown"),
    [
        (0.9731, "share", "97.3\u202f%"),
        (0.0, "share", "0.0\u202f%"),
        (-0.285, "points", "\u221228.5"),
        (0.01, "points", "+1.0"),
        (-0.00001, "points", "0.0"),
        (0.0563, "size", "5.6"),
        (0.3, "plain", "0.300"),
        (12345.6, "plain", "12,346"),
        (0.0, "plain", "0"),
        (-1.5, "signed", "\u22121.50"),
        (math.nan, "share", "\u2013"),
        (math.inf, "plain", "\u2013"),
    ],
)
def test_numbers_are_written_as_one_would_say_them(value: float, kind: numbers.Kind, shown: str) -> None:
    assert numbers.number(value, kind) == shown


def test_an_interval_stands_in_brackets_and_does_not_break() -> None:
    text = numbers.with_interval(Value(0.5, 0.4, 0.61), "share")
    assert text == "50.0\u202f% (40.0\u00a0to\u00a061.0)"


def test_without_limits_there_are_no_brackets() -> None:
    assert numbers.with_interval(Value(0.5), "share") == "50.0\u202f%"


def test_a_change_of_a_share_is_in_points_and_others_keep_their_unit() -> None:
    assert numbers.kind_of("exact_match", change=True) == "points"
    assert numbers.kind_of("answer_logprob", change=True) == "signed"
    assert numbers.kind_of("a_foreign_metric") == "plain"


def test_small_p_values_are_not_zero() -> None:
    assert numbers.p_value(1e-9) == "<\u202f0.001"
    assert numbers.p_value(0.034) == "0.034"
    assert numbers.p_value(math.nan) == "\u2013"


@pytest.mark.parametrize(
    ("value", "shown"), [(0.85, "850\u202fms"), (12.34, "12.3\u202fs"), (245, "4\u202fmin 5\u202fs")]
)
def test_durations(value: float, shown: str) -> None:
    assert numbers.seconds(value) == shown


def test_learning_rates() -> None:
    assert [numbers.rate(x) for x in (1e-4, 2.5e-3, 1.0)] == ["1e-4", "2.5e-3", "1e0"]
