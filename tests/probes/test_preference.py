from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from sft_probe.data.examples import Dataset, DataSets, Example, Message
from sft_probe.errors import NotApplicable
from sft_probe.observe.needs import Scores
from sft_probe.observe.observations import Observed, ScoresSeen
from sft_probe.probes.preference import PAIRS, Preference
from sft_probe.schema import Measurement

Find = Callable[..., Measurement]
PROBE = Preference()


def data(n: int = 4) -> DataSets:
    rows = tuple(
        Example(
            id=f"q{i}",
            target="yes",
            messages=(Message("user", f"Is it {i}?"),),
            stratum="even" if i % 2 == 0 else "odd",
            cluster=f"c{i}",
            meta={"rejected": "no"} if i < 4 else {},
        )
        for i in range(n)
    )
    return DataSets({"preferences": Dataset("preferences", rows)})


def observed(chosen: Sequence[float], rejected: Sequence[float]) -> Observed:
    examples = PROBE.derive(data())[PAIRS].examples
    seen = ScoresSeen(
        examples=examples,
        target_logprob=np.array(chosen),
        target_tokens=np.ones(4, dtype=np.int64),
        target_greedy=np.ones(4, dtype=bool),
        choice_logprob=tuple(np.array(pair) for pair in zip(chosen, rejected, strict=True)),
        choice_tokens=tuple(np.ones(2, dtype=np.int64) for _ in examples),
    )
    return Observed({Scores(dataset=PAIRS): seen})


def test_known_numbers(find: Find) -> None:
    base = observed([-2.0, -2.0, -2.0, -2.0], [-1.0, -3.0, -1.0, -2.0])
    tuned = observed([-3.0, -4.0, -1.0, -2.0], [-6.0, -6.0, -3.0, -1.0])
    found = PROBE.measure(tuned, base)
    expected = {
        "preference_accuracy": (3 / 4, (1 + 0.5) / 4),  # a tie is half a pair
        "preference_gained_share": (3 / 4, 0.5),
        "preference_margin_change": ((4 + 1 + 3 - 1) / 4, 0.0),
        "chosen_logprob_change": ((-1 - 2 + 1 + 0) / 4, 0.0),
        "rejected_logprob_change": ((-5 - 3 - 2 + 1) / 4, 0.0),
    }
    for metric, (value, null) in expected.items():
        row = find(found, metric)
        assert (row.value, row.null_value) == pytest.approx((value, null)), metric
    assert find(found, "preference_accuracy", stratum="odd").value == 0.5
    assert [item.prediction for item in found.items if item.metric == "preference_accuracy"] == [
        "yes",
        "yes",
        "yes",
        "no",
    ]


def test_a_model_that_is_its_base_moved_no_pair_either_way(find: Find) -> None:
    same = observed([-2.0] * 4, [-1.0] * 4)
    found = PROBE.measure(same, same)
    assert find(found, "preference_gained_share").value == 0.5
    assert find(found, "preference_margin_change").value == 0


def test_only_rows_with_a_rejected_answer_are_pairs() -> None:
    assert len(PROBE.derive(data(6))[PAIRS]) == 4
    with pytest.raises(NotApplicable, match="no data set 'preferences'"):
        PROBE.derive(DataSets({}))
