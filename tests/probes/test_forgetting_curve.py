from collections.abc import Callable, Sequence

import pytest

from sft_probe.errors import SpecError
from sft_probe.observe.needs import Benchmark
from sft_probe.observe.observations import BenchmarkItem, BenchmarkSeen, Observed
from sft_probe.probes.forgetting_curve import ForgettingCurve
from sft_probe.schema import Measurement

Find = Callable[..., Measurement]
PROBE = ForgettingCurve()


def seen(values: Sequence[float], margin: float) -> Observed:
    items = tuple(
        BenchmarkItem(
            task="facts",
            item=str(i),
            cluster="",
            metric="acc",
            value=value,
            margin=margin,
            prompt="?",
            prediction="",
            target="",
        )
        for i, value in enumerate(values)
    )
    return Observed({Benchmark(tasks=("world",), limit=24): BenchmarkSeen(items=items, aggregates={})})


def test_what_is_retained(find: Find) -> None:
    found = PROBE.measure(seen([1, 0, 0, 1], -0.5), seen([1, 1, 1, 0], 1.0))
    assert find(found, "retained_accuracy", dataset="all").value == 0.5
    assert find(found, "retained_accuracy", dataset="all").null_value == 0.75
    assert find(found, "retained_accuracy_change", dataset="facts").value == -0.25
    assert find(found, "retained_margin_change", dataset="facts").value == -1.5
    assert [item.value for item in found.items if item.metric == "retained"] == [1, 0, 0, 1]
    assert [item.value for item in found.items if item.metric == "retained_margin"] == [-0.5] * 4


def test_a_limit_is_a_number() -> None:
    with pytest.raises(SpecError, match="limit"):
        ForgettingCurve(limit=0)
