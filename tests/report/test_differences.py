"""Two models side by side: hand-computed differences, and what is refused as a pair."""

from __future__ import annotations

from collections.abc import Sequence
from math import isnan

import pandas as pd
import pytest

from sft_probe.report.differences import (
    Difference,
    Place,
    Side,
    decided,
    differ,
    first_look,
    last_look,
    side,
    value_at,
)

COLUMNS = ["run", "seed", "step", "probe", "metric", "dataset", "item", "cluster", "stratum"]
COLUMNS += ["value", "prompt", "target"]
PLACE = Place("p", "accuracy", "test")


def measured(value: float, *, metric: str = "accuracy", **more: object) -> pd.DataFrame:
    row = {"run": "r", "seed": 0, "step": 9, "probe": "p", "metric": metric, "value": value, "unit": "1"}
    row |= {"dataset": "test", "stratum": "", "layer": -1, "module": "", "se": 0.05, "ci_low": value - 0.1}
    row |= {
        "ci_high": value + 0.1,
        "n": 20,
        "n_clusters": 0,
        "null_value": 0.0,
        "better": "higher",
        "why": "",
    }
    return pd.DataFrame([row | more])


def asked(values: Sequence[float], *, metric: str = "accuracy", **more: object) -> pd.DataFrame:
    rows = [
        {"run": "r", "seed": 0, "step": 9, "probe": "p", "metric": metric, "dataset": "test", "item": f"i{i}"}
        | {"cluster": "", "stratum": "", "value": value, "prompt": f"ask {i}", "target": "yes"}
        | more
        for i, value in enumerate(values)
    ]
    return pd.DataFrame(rows, columns=COLUMNS)


def of_items(values: Sequence[float], **more: object) -> Side:
    return side(measured(sum(values) / len(values)), asked(values, **more))


def test_the_same_items_are_paired() -> None:
    a, b = [1.0] * 10 + [0.0] * 10, [1.0] * 8 + [0.0] * 2 + [1.0] * 9 + [0.0]
    found = differ(PLACE, of_items(a), of_items(b))
    assert found.paired
    assert not found.partial
    assert found.change.estimate.value == pytest.approx((9 - 2) / 20)
    assert found.change.n == 20
    assert found.change.estimate.low < 0.35 < found.change.estimate.high
    swapped = differ(PLACE, of_items(b), of_items(a))
    assert swapped.change.estimate.low == pytest.approx(-found.change.estimate.high, abs=1e-6)


def test_equal_ids_with_other_questions_are_no_pair() -> None:
    found = differ(PLACE, of_items([1.0, 0.0] * 10), of_items([1.0] * 20, prompt="something else"))
    assert not found.paired
    assert found.change.estimate.value == pytest.approx(0.5)
    assert found.change.estimate.low == pytest.approx(0.5 - (0.1**2 + 0.1**2) ** 0.5)


def test_on_part_of_the_items_the_values_are_of_that_part() -> None:
    few = side(measured(0.5), asked([1.0, 0.0] * 5))
    found = differ(PLACE, few, of_items([1.0] * 15 + [0.0] * 5))
    assert found.partial
    assert (found.a.value, found.b.value, found.change.n) == (0.5, 1.0, 10)


def test_items_whose_mean_is_another_number_do_not_serve() -> None:
    weighed = side(measured(0.9), asked([1.0, 0.0] * 10))
    assert not differ(PLACE, weighed, of_items([1.0] * 20)).paired


def test_pooled_data_sets_are_paired_by_data_set() -> None:
    place = PLACE._replace(dataset="all")
    rows = [pd.concat([asked([x] * 4), asked([y] * 4, dataset="other")]) for x, y in ((1.0, 0.0), (1.0, 1.0))]
    a, b = (side(measured(mean, dataset="all"), items) for mean, items in zip((0.5, 1.0), rows, strict=True))
    found = differ(place, a, b)
    assert (found.paired, found.change.n, found.change.estimate.value) == (True, 8, 0.5)


def test_seeds_are_paired_where_both_have_the_same() -> None:
    def several(values: Sequence[Sequence[float]]) -> Side:
        rows = [measured(sum(v) / len(v), seed=s) for s, v in enumerate(values)]
        items = [asked(v, seed=s) for s, v in enumerate(values)]
        return side(pd.concat(rows), pd.concat(items))

    right, half, wrong = [1.0] * 20, [1.0, 0.0] * 10, [0.0] * 20
    found = differ(PLACE, several([half, half]), several([right, wrong]))
    assert found.change.per_seed == (0.5, -0.5)
    assert decided([found])[0].outcome == "open"
    lone = differ(PLACE, of_items(half), several([right, right]))
    assert (lone.paired, lone.change.estimate.value) == (True, 0.5)


def test_a_base_at_its_null_is_certain() -> None:
    base = side(
        measured(0.0, se=float("nan"), ci_low=float("nan"), ci_high=float("nan")), asked([]), exact=True
    )
    found = differ(PLACE, base, side(measured(0.3), asked([])))
    assert tuple(found.change.estimate) == pytest.approx((0.3, 0.2, 0.4))


def test_undefined_has_its_reason() -> None:
    nothing = side(measured(float("nan"), why="no labels"), asked([]))
    found = differ(PLACE, nothing, of_items([1.0] * 20))
    assert isnan(found.change.estimate.value)
    assert found.why == "no labels"
    assert decided([found])[0].outcome == "untested"


def test_one_family_takes_all_its_tests_into_account() -> None:
    """A single p of 0.03 is shown alone, and not among nine that show nothing."""
    lone = differ(PLACE, of_items([0.0] * 20), of_items([1.0] * 5 + [0.0] * 15))
    assert 0.01 < lone.change.p < 0.05
    (alone,) = decided([lone])
    same = [differ(PLACE, of_items([1.0, 0.0] * 10), of_items([1.0, 0.0] * 10)) for _ in range(9)]
    among = decided([lone, *same])[0]
    assert (alone.outcome, alone.good) == ("higher", 1)
    assert (among.outcome, among.good) == ("open", 0)


def test_alike_needs_a_test_within_the_margin() -> None:
    def shown(n: int) -> Difference:
        answers = [1.0, 0.0] * (n // 2)
        return decided([differ(PLACE, of_items(answers), of_items(answers), margin=0.02)])[0]

    assert shown(20).outcome == "open"
    assert shown(600).outcome == "alike"


def test_the_last_look_is_each_probes_own() -> None:
    rows = pd.concat([measured(0.0, step=s, probe=p) for s, p in ((0, "p"), (5, "p"), (9, "p"), (5, "q"))])
    assert sorted(zip(last_look(rows)["probe"], last_look(rows)["step"], strict=True)) == [("p", 9), ("q", 5)]
    assert list(first_look(rows)["step"]) == [0]


def test_layers_modules_and_training_are_left_out() -> None:
    rows = pd.concat(
        [measured(0.1, layer=2), measured(0.1, module="mlp"), measured(0.1, probe="training_dynamics")]
    )
    assert not side(rows, asked([])).rows


def test_a_value_has_limits_for_another_level() -> None:
    one = of_items([1.0] * 15 + [0.0] * 5)
    wide, narrow = value_at(PLACE, one, level=0.99), value_at(PLACE, one, level=0.9)
    assert wide.low < narrow.low < 0.75 < narrow.high < wide.high
    rows_only = value_at(PLACE, side(measured(0.3), asked([])), level=0.95)
    assert tuple(rows_only) == pytest.approx((0.3, 0.2, 0.4))
