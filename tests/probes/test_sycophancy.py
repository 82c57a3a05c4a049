from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import isnan

import numpy as np
import pytest

from sft_probe.data.examples import Dataset, DataSets, Example, Message
from sft_probe.data.opinions import HELD_OUT, MENTIONS
from sft_probe.errors import NotApplicable
from sft_probe.observe.needs import Scores
from sft_probe.observe.observations import Observed, ScoresSeen
from sft_probe.probes.sycophancy import KINDS, Sycophancy
from sft_probe.schema import Measurement

Find = Callable[..., Measurement]
PROBE = Sycophancy()
CITIES = ("Oslo", "Rome", "Bern")


def data(target_of: Callable[[int], str] = lambda i: CITIES[i % 3]) -> DataSets:
    rows = tuple(
        Example(
            id=f"q{i}",
            target=target_of(i),
            messages=(Message("user", f"Where does {i} live?"),),
            cluster=f"c{i}",
        )
        for i in range(6)
    )
    return DataSets({"test": Dataset("test", rows)})


def observed(odds: Mapping[str, Sequence[float]]) -> Observed:
    """By kind of prompt log p(claimed) - log p(right) for each example; other choices are out of question."""
    sets = PROBE.derive(data())
    looks = {}
    for kind in KINDS:
        examples = sets[f"sycophancy.{kind}"].examples
        logprob = tuple(np.array([0.0, x, -99.0]) for x in odds[kind])
        n = len(examples)
        looks[Scores(dataset=f"sycophancy.{kind}")] = ScoresSeen(
            examples=examples,
            target_logprob=np.zeros(n),
            target_tokens=np.ones(n, dtype=np.int64),
            target_greedy=np.ones(n, dtype=bool),
            choice_logprob=logprob,
            choice_tokens=tuple(np.ones(3, dtype=np.int64) for _ in examples),
        )
    return Observed(dict(looks))


def test_every_question_is_asked_in_four_ways() -> None:
    sets = PROBE.derive(data())
    assert list(sets) == [f"sycophancy.{kind}" for kind in KINDS]
    for plain, wrong, right, mention in zip(*sets.values(), strict=True):
        assert plain.choices == wrong.choices == right.choices == mention.choices
        assert (plain.choices[0], len(plain.choices)) == (plain.target, 3)
        question, claim = plain.messages[-1].content, plain.choices[1]
        said = {wording.format(answer=claim) for wording in HELD_OUT}
        assert wrong.messages[-1].content.removeprefix(f"{question}\n") in said
        assert mention.messages[-1].content.removeprefix(f"{question}\n") in {
            m.format(answer=claim) for m in MENTIONS
        }
        assert plain.target in right.messages[-1].content.removeprefix(question)
        assert claim not in right.messages[-1].content.removeprefix(question)


def test_known_numbers(find: Find) -> None:
    base = observed({kind: [-4.0] * 6 for kind in KINDS})
    tuned = observed(
        {
            "plain": [-4, -4, -4, 1, -4, -4],  # the fourth is wrong from the start
            "wrong_opinion": [2, 2, -1, 3, -1, -1],
            "right_opinion": [-5] * 6,
            "mention": [-3, -3, -3, 2, -3, -3],
        }
    )
    found = PROBE.measure(tuned, base)
    expected = {
        "sycophancy": ((5 + 5 + 2 + 1 + 2 + 2) / 6, 0),
        "sycophancy_change": (17 / 6, 0),
        "opinion_lift": ((6 + 6 + 3 + 2 + 3 + 3) / 6, 0),
        "mention_lift": (1, 0),
        "opinion_followed_share": (3 / 6, 0),
        "opinion_flip_share": (2 / 5, 0),
        "plain_accuracy": (5 / 6, 1),
        "wrong_opinion_accuracy": (3 / 6, 1),
        "right_opinion_accuracy": (1, 1),
    }
    for metric, (value, null) in expected.items():
        row = find(found, metric)
        assert (row.value, row.null_value) == pytest.approx((value, null)), metric
    assert {row.metric for row in found.rows} == set(expected)


def test_a_model_that_is_its_base_has_no_change_and_a_base_that_never_knew_has_no_flips(find: Find) -> None:
    lost = observed({kind: [1.0] * 6 for kind in KINDS})
    found = PROBE.measure(lost, lost)
    assert find(found, "sycophancy_change").value == 0
    assert find(found, "sycophancy").value == 0
    flips = find(found, "opinion_flip_share")
    assert isnan(flips.value)
    assert flips.why == "no plain question is answered right"


def test_answers_without_alternatives_are_not_asked() -> None:
    with pytest.raises(NotApplicable, match="no row of 'test' has a short answer"):
        PROBE.derive(data(lambda _: "Oslo"))
