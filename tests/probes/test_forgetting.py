from collections.abc import Callable, Sequence
from math import isnan, nan

import pytest

from sft_probe.errors import SpecError
from sft_probe.observe.needs import Benchmark
from sft_probe.observe.observations import BenchmarkItem, BenchmarkSeen, Observed
from sft_probe.probes.forgetting import Forgetting
from sft_probe.schema import Measurement

Find = Callable[..., Measurement]
PROBE = Forgetting()


def document(
    task: str, item: int, value: float, *, margin: float = nan, metric: str = "acc", cluster: str = ""
) -> BenchmarkItem:
    return BenchmarkItem(
        task=task,
        item=str(item),
        cluster=cluster,
        metric=metric,
        value=value,
        margin=margin,
        prompt=f"{task} {item}?",
        prediction="right" if value else "wrong",
        target="right",
    )


def observed(items: Sequence[BenchmarkItem]) -> Observed:
    return Observed({Benchmark(tasks=("world",)): BenchmarkSeen(items=tuple(items), aggregates={})})


def answers(task: str, values: Sequence[float], margin: float = 0.0) -> list[BenchmarkItem]:
    return [document(task, i, value, margin=margin + i) for i, value in enumerate(values)]


BASE = observed(answers("facts", [1] * 30 + [0] * 10) + answers("grammar", [1] * 20))
TUNED = observed(answers("facts", [0] * 9 + [1] * 22 + [0] * 9, margin=-2) + answers("grammar", [1] * 20))


def test_gains_and_losses_per_task_and_pooled(find: Find) -> None:
    found = PROBE.measure(TUNED, BASE)
    expected = {
        "accuracy": (22 / 40, 42 / 60),
        "accuracy_change": (-8 / 40, -8 / 60),
        "gained": (1 / 40, 1 / 60),
        "lost": (9 / 40, 9 / 60),
        "kept": (21 / 40, 41 / 60),
        "never": (9 / 40, 9 / 60),
        "churn": (10 / 40, 10 / 60),
        "numeric_churn": (1 / 40, 2 / 60),  # the first document of each task has a margin of zero
        "churn_beyond_numerics": (9 / 40, 8 / 60),
        "mcnemar_p": (22 / 1024, 22 / 1024),  # one against nine
        "mcnemar_mid_p": (12 / 1024, 12 / 1024),
        "margin_change": (-2.0, -2 * 40 / 60),
    }
    for metric, values in expected.items():
        rows = [find(found, metric, dataset=dataset) for dataset in ("facts", "all")]
        assert [row.value for row in rows] == pytest.approx(values), metric
        assert [row.n for row in rows] == [40, 60]
    assert {row.metric for row in found.rows} == {*expected, "flip_kappa"}
    agreed, chance = 30 / 40, (30 * 22 + 10 * 18) / 40**2
    assert find(found, "flip_kappa", dataset="facts").value == pytest.approx((agreed - chance) / (1 - chance))
    assert find(found, "accuracy", dataset="facts").null_value == 30 / 40
    assert find(found, "accuracy_change", dataset="facts").ci_high < 0


def test_the_base_forgot_nothing_but_is_not_certain_of_it(find: Find) -> None:
    found = PROBE.measure(BASE, BASE)
    change = find(found, "accuracy_change", dataset="all")
    assert change.value == 0
    assert change.ci_low < -0.05 < 0.05 < change.ci_high
    assert find(found, "mcnemar_p", dataset="all").value == 1
    assert find(found, "flip_kappa", dataset="grammar").value == 1  # all alike, so kappa itself is undefined
    assert find(found, "lost", dataset="grammar").ci_high > 0.1


def test_items_hold_the_answer() -> None:
    items = PROBE.measure(TUNED, BASE).items
    assert len(items) == 120
    assert {item.metric for item in items} == {"correct", "margin"}
    assert items[1].value == -2.0
    assert (items[0].metric, items[0].dataset, items[0].value, items[0].prediction) == (
        "correct",
        "facts",
        0,
        "wrong",
    )


def test_only_documents_seen_both_times_count(find: Find) -> None:
    found = PROBE.measure(observed(answers("facts", [1, 0, 1])), observed(answers("facts", [1, 1])))
    assert find(found, "accuracy", dataset="facts").n == 2
    assert [item.metric for item in found.items] == ["correct", "margin"] * 2


def test_clusters_are_what_was_drawn(find: Find) -> None:
    def seen(values: Sequence[float]) -> Observed:
        return observed([document("facts", i, v, cluster=f"person{i // 3}") for i, v in enumerate(values)])

    row = find(PROBE.measure(seen([1, 0, 0, 1, 1, 0]), seen([1] * 6)), "lost", dataset="facts")
    assert (row.n, row.n_clusters) == (6, 2)


def test_one_metric_is_judged_per_task(find: Find) -> None:
    both = [document("facts", i, 1.0) for i in range(5)]
    both += [document("facts", i, 0.0, metric="acc_norm") for i in range(5)]
    both += [document("essays", i, 0.0, metric="chrf_above_half") for i in range(5)]
    both += [document("essays", i, 1.0, metric="exact_match,strict") for i in range(5)]
    both += [document("essays", i, 0.0, metric="exact_match,flexible") for i in range(5)]
    seen = observed(both)
    found = PROBE.measure(seen, seen)
    assert find(found, "accuracy", dataset="all").value == 1
    assert find(found, "accuracy", dataset="all").n == 10


def test_clusters_of_two_tasks_are_different(find: Find) -> None:
    items = [document(task, i, i % 2, cluster=str(i)) for task in ("facts", "grammar") for i in range(4)]
    found = PROBE.measure(observed(items), observed(items))
    assert find(found, "accuracy", dataset="all").n_clusters == 8


def test_graded_scores_are_not_right_or_wrong(find: Find) -> None:
    seen = observed([document("essays", i, i / 10, metric="bleu") for i in range(4)])
    found = PROBE.measure(seen, seen)
    for metric in ("accuracy", "accuracy_change", "lost", "mcnemar_p"):
        row = find(found, metric, dataset="essays")
        assert isnan(row.value)
        assert row.why == "no right-or-wrong item was seen both before and after"


def test_without_margins_the_row_says_so(find: Find) -> None:
    seen = observed([document("facts", i, 1.0) for i in range(4)])
    assert find(PROBE.measure(seen, seen), "margin_change", dataset="facts").why.startswith("no item has")


def test_needs_what_it_was_told() -> None:
    probe = Forgetting(tasks=("hellaswag", "piqa"), limit=50, num_fewshot=0, apply_chat_template=True)
    assert probe.needs() == (
        Benchmark(tasks=("hellaswag", "piqa"), limit=50, num_fewshot=0, apply_chat_template=True),
    )


@pytest.mark.parametrize(
    ("option", "value"),
    [("tasks", ()), ("tasks", "world"), ("tasks", ("a", "")), ("limit", 0), ("num_fewshot", -1)],
)
def test_bad_options_are_refused_by_name(option: str, value: object) -> None:
    with pytest.raises(SpecError, match=f"'probes.forgetting.{option}'"):
        Forgetting(**{option: value})  # type: ignore[arg-type]
