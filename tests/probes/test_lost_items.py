from collections.abc import Callable, Mapping
from dataclasses import replace
from math import isnan, nan

import pytest

from sft_probe.errors import SpecError
from sft_probe.observe.observations import BenchmarkItem, BenchmarkSeen, Observed
from sft_probe.probes.lost_items import LostItems
from sft_probe.schema import Measurement

Find = Callable[..., Measurement]
PROBE = LostItems()
PLAIN, FORM, SHOWN, MIXED = PROBE.needs()


def documents(right: str, metric: str = "acc") -> BenchmarkSeen:
    """Documents a to l; those named are right."""
    return BenchmarkSeen(
        items=tuple(
            BenchmarkItem(
                task="facts",
                item=name,
                cluster="",
                metric=metric,
                value=float(name in right),
                margin=nan,
                prompt="",
                prediction="",
                target="",
            )
            for name in "abcdefghijkl"
        ),
        aggregates={},
    )


def look(right: Mapping[object, str]) -> Observed:
    return Observed({need: documents(right.get(need, "")) for need in (PLAIN, FORM, SHOWN, MIXED)})


BASE = look({PLAIN: "abcdef"})
TUNED = look({PLAIN: "abg", FORM: "abc", SHOWN: "acdh", MIXED: "abch"})  # lost: c d e f; never: h i j k l


def test_each_lost_document_gets_the_mildest_verdict(find: Find) -> None:
    found = PROBE.measure(TUNED, BASE)
    expected = {
        "lost_count": 4,
        "form_share": 0.25,
        "suppressed_share": 0.25,
        "erased_share": 0.5,
        "revived_by_form_share": 0.25,
        "revived_by_shots_share": 0.5,
        "revived_by_interpolation_share": 0.25,
        "revived_share": 0.5,
        "revived_beyond_chance": 0.5 - 0.2,
    }
    for metric, value in expected.items():
        assert find(found, metric, dataset="all").value == pytest.approx(value), metric
    fates = {item.item: item.stratum for item in found.items}
    assert [fates[name] for name in "acdefgh"] == [
        *("kept", "form", "suppressed", "erased", "erased", "gained", "never")
    ]


def test_the_null_is_what_second_chances_do_to_what_nobody_knew(find: Find) -> None:
    found = PROBE.measure(TUNED, BASE)
    assert find(found, "revived_share", dataset="all").null_value == pytest.approx(1 / 5)
    assert find(found, "erased_share", dataset="all").null_value == pytest.approx(4 / 5)


def test_another_filter_of_the_same_answer_is_form(find: Find) -> None:
    strict, flexible = documents("ab", "exact_match,strict"), documents("abcd", "exact_match,flexible")
    was = documents("abcdef", "exact_match,strict")
    tuned = Observed(
        {need: replace(strict, items=(*strict.items, *flexible.items)) for need in PROBE.needs()}
    )
    base = Observed({need: replace(was, items=(*was.items, *was.items)) for need in PROBE.needs()})
    found = PROBE.measure(tuned, base)
    assert find(found, "form_share", dataset="all").value == 0.5


def test_where_nothing_is_lost_there_is_nothing_to_revive(find: Find) -> None:
    found = PROBE.measure(BASE, BASE)
    assert find(found, "lost_count", dataset="all").value == 0
    row = find(found, "suppressed_share", dataset="all")
    assert isnan(row.value)
    assert row.why == "nothing was lost"


@pytest.mark.parametrize("alpha", [0, 1, 2])
def test_interpolation_lies_between(alpha: float) -> None:
    with pytest.raises(SpecError, match="alpha"):
        LostItems(alpha=alpha)
