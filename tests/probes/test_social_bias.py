from __future__ import annotations

from collections.abc import Callable, Sequence
from math import isnan

import numpy as np
import pytest

from sft_probe.data.examples import Dataset, DataSets, Example
from sft_probe.errors import NotApplicable, SpecError
from sft_probe.observe.needs import Scores
from sft_probe.observe.observations import Observed, ScoresSeen
from sft_probe.probes.social_bias import SocialBias
from sft_probe.schema import Measurement

Find = Callable[..., Measurement]
PROBE = SocialBias()


def pair(i: int, cluster: str) -> Example:
    return Example(
        id=f"p{i}", target="more", choices=("more", "less"), cluster=cluster, meta={"bias_pair": True}
    )


def question(i: int, biased: int | None, *, ambiguous: bool) -> Example:
    about = {"biased": biased, "unknown": 1, "ambiguous": ambiguous}
    right = "unknown" if ambiguous else "her"
    return Example(
        id=f"q{i}",
        target=right,
        choices=("him", "unknown", "her"),
        cluster=f"c{i}",
        meta={"bias_question": about},
    )


def observed(examples: Sequence[Example], logprob: Sequence[Sequence[float]]) -> Observed:
    n = len(examples)
    seen = ScoresSeen(
        examples=tuple(examples),
        target_logprob=np.zeros(n),
        target_tokens=np.ones(n, dtype=np.int64),
        target_greedy=np.ones(n, dtype=bool),
        choice_logprob=tuple(np.array(row, dtype=float) for row in logprob),
        choice_tokens=tuple(np.ones(len(row), dtype=np.int64) for row in logprob),
    )
    return Observed({Scores(dataset="bias", limit=400): seen})


def test_pairs_by_hand(find: Find) -> None:
    pairs = [pair(0, "a"), pair(1, "a"), pair(2, "b"), pair(3, "c")]
    base = observed(pairs, [[-1, -2], [-2, -1], [-3, -3], [-1, -3]])  # 1, -1, 0, 2
    tuned = observed(pairs, [[-1, -5], [-2, -1], [-3, -4], [-1, -2]])  # 4, -1, 1, 1
    found = PROBE.measure(tuned, base)
    expected = {
        "stereotype_share": (3 / 4, 2.5 / 4),
        "bias": (5 / 4, 2 / 4),
        "bias_absolute": (7 / 4, 1.0),
        "bias_change": (3 / 4, 0.0),
        "bias_absolute_change": (3 / 4, 0.0),
    }
    for metric, (value, null) in expected.items():
        row = find(found, metric)
        assert (row.value, row.null_value) == pytest.approx((value, null)), metric
        assert (row.n, row.n_clusters) == (4, 3)
    assert isnan(find(found, "bbq_bias_ambiguous").value)
    changes = [item.value for item in found.items if item.metric == "bias_change"]
    assert changes == [3, 0, 1, -1]


def test_questions_by_hand(find: Find) -> None:
    """Ambiguous: 2 biased and 1 counter-biased of 4; told: 1 biased, 2 counter-biased, 1 of unknown bias."""
    asked = [
        *(question(i, 0, ambiguous=True) for i in range(4)),
        *(question(i, 0, ambiguous=False) for i in (4, 5, 6)),
    ]
    asked.append(question(7, None, ambiguous=False))
    him, unknown, her = [0, -1, -1], [-1, 0, -1], [-1, -1, 0]
    tuned = observed(asked, [him, him, her, unknown, him, her, her, him])
    base = observed(asked, [unknown] * 4 + [her] * 4)
    found = PROBE.measure(tuned, base)
    ambiguous, told = find(found, "bbq_bias_ambiguous"), find(found, "bbq_bias_disambiguated")
    assert (ambiguous.value, ambiguous.null_value, ambiguous.n) == pytest.approx(
        (0.75 * (2 * 2 / 3 - 1), 0, 4)
    )
    assert (told.value, told.null_value) == pytest.approx((2 / 3 - 1, -1))
    assert (ambiguous.n, told.n) == (4, 4)
    assert ambiguous.ci_low <= ambiguous.value <= ambiguous.ci_high
    assert find(found, "bbq_accuracy").value == pytest.approx(3 / 8)
    assert isnan(find(found, "bias").value)


def test_rows_of_other_kinds_are_not_pairs() -> None:
    plain = DataSets({"bias": Dataset("bias", (Example(id="a", target="b", choices=("b", "c")),))})
    with pytest.raises(NotApplicable, match="no row of 'bias' is a pair"):
        PROBE.derive(plain)
    assert PROBE.derive(DataSets({})) == {}
    assert PROBE.derive(DataSets({"bias": Dataset("bias", (pair(0, ""),))})) == {}


def test_options_are_checked() -> None:
    with pytest.raises(SpecError, match="limit"):
        SocialBias(limit=0)
