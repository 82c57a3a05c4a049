from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from sft_probe.data.examples import Example, Message
from sft_probe.errors import DataError, SpecError
from sft_probe.observe.needs import Generations, Scores
from sft_probe.observe.observations import GenerationsSeen, Observed, ScoresSeen
from sft_probe.probes.task_alignment import TaskAlignment
from sft_probe.schema import Measurement

Find = Callable[..., Measurement]
PROBE = TaskAlignment()
EXAMPLES = tuple(
    Example(
        id=f"q{i}",
        target=target,
        messages=(Message("user", f"Where does {who} live?"),),
        choices=("Oslo", "Rome"),
        stratum=stratum,
        cluster=who,
    )
    for i, (target, who, stratum) in enumerate(
        [
            ("Oslo", "ann", "stored"),
            ("Rome", "ann", "stored"),
            ("Rome", "bob", "unseen"),
            ("Oslo", "cy", "unseen"),
        ]
    )
)


def observed(
    texts: tuple[str, ...],
    oslo: tuple[float, ...],
    stopped: tuple[bool, ...] = (True,) * 4,
    examples: tuple[Example, ...] = EXAMPLES,
) -> Observed:
    """What was said, and the log-likelihood of the choice Oslo where Rome has -3."""
    n = len(examples)
    return Observed(
        {
            Generations(dataset="test"): GenerationsSeen(
                examples=examples, texts=texts, n_tokens=np.full(n, 3), stopped=np.array(stopped)
            ),
            Scores(dataset="test"): ScoresSeen(
                examples=examples,
                target_logprob=np.array([-1.0, -2.0, -3.0, -6.0]),
                target_tokens=np.array([2, 2, 2, 3]),
                target_greedy=np.ones(n, dtype=bool),
                choice_logprob=tuple(
                    np.array([x, -3.0]) if e.choices else np.array([])
                    for x, e in zip(oslo, examples, strict=True)
                ),
                choice_tokens=tuple(np.array([1, 2]) if e.choices else np.array([]) for e in examples),
            ),
        }
    )


BASE = observed(("It is Oslo.", "Oslo", "Rome, Rome", ""), (-4, -4, -4, -4), (True, True, False, False))
TUNED = observed((" Oslo\n", "Rome", "Rome", "in Oslo"), (-1, -5, -2, -3.5), (True, True, False, True))


def test_known_scores(find: Find) -> None:
    found = PROBE.measure(TUNED, BASE)
    expected = {
        "exact_match": (0.5, 0.0),  # the third answer did not stop
        "contains_match": (1.0, 0.5),
        "token_f1": ((1 + 1 + 1 + 2 / 3) / 4, (2 / 4 + 0 + 2 / 3 + 0) / 4),
        "choice_accuracy": (0.5, 0.5),
        "choice_margin": ((2 + 2 - 1 - 0.5) / 4, (-1 + 1 + 1 - 1) / 4),
        "answer_logprob": ((-0.5 - 1 - 1.5 - 2) / 4,) * 2,
    }
    for metric, (value, null) in expected.items():
        row = find(found, metric)
        assert (row.value, row.null_value) == pytest.approx((value, null)), metric
        assert (row.n, row.n_clusters, row.dataset, row.better) == (4, 3, "test", "higher")
        assert row.ci_low < row.value <= row.ci_high
    assert {row.metric for row in found.rows} == set(expected)


def test_strata_have_rows_of_their_own(find: Find) -> None:
    found = PROBE.measure(TUNED, BASE)
    assert find(found, "exact_match", stratum="stored").value == 1.0
    assert find(found, "exact_match", stratum="unseen").value == 0.0
    assert find(found, "contains_match", stratum="unseen").null_value == 0.5
    assert find(found, "exact_match", stratum="stored").why == "one cluster"


def test_one_stratum_is_the_whole(find: Find) -> None:
    same = tuple(replace(example, stratum="stored") for example in EXAMPLES)
    seen = observed(("Oslo",) * 4, (-1,) * 4, examples=same)
    assert {row.stratum for row in PROBE.measure(seen, seen).rows} == {""}


def test_items_carry_what_was_asked_said_and_expected() -> None:
    items = [item for item in PROBE.measure(TUNED, BASE).items if item.metric == "exact_match"]
    assert [item.value for item in items] == [1, 1, 0, 0]
    assert items[3].prompt == "Where does cy live?"
    assert (items[3].prediction, items[3].target) == ("in Oslo", "Oslo")
    assert (items[3].item, items[3].cluster, items[3].stratum) == ("q3", "cy", "unseen")


def test_the_base_is_its_own_null() -> None:
    found = PROBE.measure(BASE, BASE)
    assert all(row.value == pytest.approx(row.null_value) for row in found.rows)


def test_normalised_choice_scores_may_choose_otherwise(find: Find) -> None:
    by_sum, by_token = PROBE, TaskAlignment(choice_score="per_token")  # Rome has two tokens: -1.5 each
    assert find(by_sum.measure(TUNED, BASE), "choice_accuracy", stratum="unseen").value == 0
    assert find(by_token.measure(TUNED, BASE), "choice_accuracy", stratum="unseen").value == 0.5
    margins = [find(p.measure(TUNED, BASE), "choice_margin").value for p in (by_sum, by_token)]
    assert margins[0] == margins[1]


def test_without_choices_the_row_says_so(find: Find) -> None:
    bare = tuple(replace(example, choices=()) for example in EXAMPLES)
    seen = observed(("Oslo",) * 4, (-1,) * 4, examples=bare)
    found = PROBE.measure(seen, seen)
    for metric in ("choice_accuracy", "choice_margin"):
        row = find(found, metric)
        assert np.isnan(row.value)
        assert row.why == "no example has choices"
    assert not [item for item in found.items if item.metric == "choice_accuracy"]


def test_only_examples_with_choices_count(find: Find) -> None:
    mixed = (*EXAMPLES[:2], replace(EXAMPLES[2], choices=()), EXAMPLES[3])
    row = find(PROBE.measure(observed(("",) * 4, (-1,) * 4, examples=mixed), BASE), "choice_accuracy")
    assert (row.value, row.n) == (pytest.approx(2 / 3), 3)


def test_a_target_outside_its_choices_is_refused() -> None:
    odd = (replace(EXAMPLES[0], target="oslo"), *EXAMPLES[1:])
    with pytest.raises(DataError, match=r"'oslo' of example 'q0' is none of its choices"):
        PROBE.measure(observed(("",) * 4, (-1,) * 4, examples=odd), BASE)


@pytest.mark.parametrize(
    ("option", "value"),
    [("max_new_tokens", 0), ("limit", -1), ("limit", "10"), ("dataset", ""), ("choice_score", "mean")],
)
def test_bad_options_are_refused_by_name(option: str, value: object) -> None:
    with pytest.raises(SpecError, match=f"'probes.task_alignment.{option}'"):
        TaskAlignment(**{option: value})  # type: ignore[arg-type]
