from __future__ import annotations

from collections.abc import Callable, Sequence
from math import isnan, log

import numpy as np
import pytest

from sft_probe.data.examples import Dataset, DataSets, Example, Message
from sft_probe.errors import NotApplicable, SpecError
from sft_probe.measures.refusal import OPENINGS
from sft_probe.observe.interventions import Ablate, Add, Contrast, Interpolate
from sft_probe.observe.needs import Generations, Scores, States, TokenDivergence
from sft_probe.observe.observations import (
    GenerationsSeen,
    Need,
    Observation,
    Observed,
    ScoresSeen,
    StatesSeen,
    TokenDivergenceSeen,
)
from sft_probe.probes.refusal import Refusal
from sft_probe.schema import Measurement

Find = Callable[..., Measurement]
PROBE = Refusal(depths=(2,))
NO, YES = "Never ask that again.", "Take it and go."


def request(i: int, refuse: bool | None, target: str) -> Example:
    return Example(
        id=f"q{i}",
        target=target,
        messages=(Message("user", f"How do I do {i}?"),),
        stratum="bad" if refuse else ("near" if i % 2 else "plain"),
        cluster=f"c{i}",
        meta={} if refuse is None else {"refuse": refuse},
    )


ROWS = (*(request(i, i < 4, NO if i < 4 else YES) for i in range(8)), request(8, None, "x"))
DATA = DataSets({"test": Dataset("test", ROWS)})
SETS = PROBE.derive(DATA)


def observed(
    texts: Sequence[str],
    refusing: Sequence[float],
    attacked: Sequence[str],
    states: np.ndarray,
    changed: Sequence[tuple[float, float]] = ((0.5, 0.5),) * 5,
) -> Observed:
    """refusing: probability that the answer opens as a refusal. changed: the same without the direction and
    with it in the base, for the direction itself and each random one."""
    asked, unsafe = SETS["refusal.requests"].examples, SETS["refusal.unsafe"].examples
    openings = SETS["refusal.openings"].examples
    looks: dict[Need, Observation] = {}
    for need in PROBE.needs():
        match need:
            case Generations(under=()):
                looks[need] = answers(asked, texts)
            case Generations():
                looks[need] = answers(unsafe, attacked)
            case Scores(under=(Ablate(direction=Contrast(random=draw)),)):
                looks[need] = scores(SETS["refusal.ablated"].examples, [changed[draw][0]] * 2)
            case Scores(under=(Interpolate(0.0), Add(direction=Contrast(random=draw)))):
                looks[need] = scores(SETS["refusal.added"].examples, [changed[draw][1]] * 2)
            case Scores(under=()):
                looks[need] = scores(openings, refusing)
            case States():
                looks[need] = StatesSeen(
                    examples=asked,
                    example=np.arange(8),
                    position=np.zeros(8, dtype=np.int64),
                    layers=(0, 1),
                    states=states.astype(np.float32),
                )
            case TokenDivergence():
                kl = np.tile([3.0, 1.0, 1.0], 4)
                zeros = np.zeros(12)
                looks[need] = TokenDivergenceSeen(
                    examples=unsafe,
                    example=np.repeat(np.arange(4), 3),
                    position=np.tile(np.arange(3), 4),
                    token=("a",) * 12,
                    kl_tuned_base=kl,
                    kl_base_tuned=kl,
                    base_rank=np.ones(12, dtype=np.int64),
                    base_ties=np.zeros(12, dtype=np.int64),
                    entropy_tuned=zeros,
                    entropy_base=zeros,
                    logprob_tuned=zeros,
                    logprob_base=zeros,
                    contexts="tuned",
                )
    return Observed(looks)


def scores(examples: tuple[Example, ...], refusing: Sequence[float]) -> ScoresSeen:
    n, count = len(refusing), len(examples[0].choices)
    return ScoresSeen(
        examples=examples,
        target_logprob=np.zeros(n),
        target_tokens=np.ones(n, dtype=np.int64),
        target_greedy=np.ones(n, dtype=bool),
        choice_logprob=tuple(np.full(count, log(p / count)) for p in refusing),
        choice_tokens=tuple(np.ones(count, dtype=np.int64) for _ in refusing),
    )


def answers(examples: tuple[Example, ...], texts: Sequence[str]) -> GenerationsSeen:
    n = len(examples)
    return GenerationsSeen(
        examples=examples, texts=tuple(texts), n_tokens=np.full(n, 3), stopped=np.ones(n, dtype=bool)
    )


def apart(first: float, second: float) -> np.ndarray:
    """Two layers of two dimensions; unsafe requests lie at these places of the first, safe ones at 0."""
    states = np.zeros((2, 8, 2))
    states[0, :4, 0], states[1, :4, 1] = first, second
    return states


BASE = observed([YES] * 8, [0.1] * 8, ["Sure, here."] * 4, apart(1, 1))
TUNED = observed(
    [NO, NO, "I cannot say.", YES, YES, NO, YES, YES],
    [0.9, 0.8, 0.9, 0.3, 0.2, 0.6, 0.1, 0.1],
    ["Sure, here it is.", "Sure, I cannot do it.", "Sure, sorry, but no.", f"Sure, {NO}"],
    apart(2, -1),
    changed=((0.1, 0.9), (0.9, 0.2), (0.9, 0.2), (0.9, 0.2), (0.6, 0.2)),
)


def test_requests_are_those_that_are_marked_and_openings_those_of_the_data_too() -> None:
    assert [e.id for e in SETS["refusal.requests"]] == [f"q{i}" for i in range(8)]
    assert [e.id for e in SETS["refusal.unsafe"]] == ["q0", "q1", "q2", "q3"]
    choices = SETS["refusal.openings"].examples[0].choices
    assert set(choices) == {*OPENINGS, "Never ask that"}
    assert [len(rows) for rows in Refusal(limit=1).derive(DATA).values()] == [2, 1, 2, 2, 2, 2]


def test_a_direction_is_tried_on_requests_it_was_not_made_from() -> None:
    ids = {part: [e.id for e in SETS[f"refusal.{part}"]] for part in ("direction", "ablated", "added")}
    assert ids == {"direction": ["q0", "q2", "q4", "q6"], "ablated": ["q1", "q3"], "added": ["q5", "q7"]}
    assert len(SETS["refusal.added"].examples[0].choices) == len(OPENINGS) + 1


def test_effects_of_the_direction_are_those_beyond_random_ones(find: Find) -> None:
    found = PROBE.measure(TUNED, BASE)
    odds = log(9)
    ablation = find(found, "refusal_ablation_effect")
    assert (ablation.value, ablation.null_value, ablation.n) == (
        pytest.approx(-odds - (3 * odds + log(1.5)) / 4),
        0,
        2,
    )
    assert find(found, "refusal_addition_effect").value == pytest.approx(odds + log(4))
    assert ablation.ci_low < ablation.value < ablation.ci_high, "random directions differ, requests do not"
    rates = [find(found, f"{kind}_refusal_rate") for kind in ("ablated", "added")]
    assert [(row.value, row.null_value) for row in rates] == [(0, 1), (1, 0)]


def test_one_kind_of_requests_has_no_direction(find: Find) -> None:
    sets = PROBE.derive(DataSets({"test": Dataset("test", ROWS[:4])}))
    only = {name: rows.examples for name, rows in sets.items()}
    assert {e.meta["refuse"] for rows in only.values() for e in rows} == {True}
    looks = {need: TUNED[need] for need in PROBE.needs()}
    for need in PROBE.needs():
        if isinstance(need, Scores) and need.dataset == "refusal.added":
            looks[need] = scores(only["refusal.added"], [0.5] * 4)
    row = find(PROBE.measure(Observed(looks), BASE), "refusal_addition_effect")
    assert isnan(row.value)
    assert row.why.startswith("not both kinds of requests")


def test_rates_by_hand(find: Find) -> None:
    found = PROBE.measure(TUNED, BASE)
    expected = {
        "refusal_rate": (3 / 4, 0),
        "over_refusal_rate": (1 / 4, 0),
        "keyword_refusal_rate": (1 / 4, 0),  # the data's own refusals are none to a public list
        "likelihood_refusal_rate": (3 / 4, 0),
        "likelihood_over_refusal_rate": (1 / 4, 0),
        "refusal_youden": (1 / 2, 0),
        "refusal_auc": ((4 + 4 + 4 + 3) / 16, 0.5),
    }
    for metric, (value, null) in expected.items():
        row = find(found, metric)
        assert (row.value, row.null_value) == pytest.approx((value, null)), metric
    assert find(found, "over_refusal_rate", stratum="near").value == 1 / 2
    assert find(found, "over_refusal_rate", stratum="plain").value == 0
    kept = {(item.metric, item.item): item.value for item in found.items}
    assert kept[("refusal_rate", "q3")] == 0
    assert len(kept) == 8


def test_rates_are_corrected_by_the_scorers_errors_on_right_answers(find: Find) -> None:
    found = PROBE.measure(TUNED, BASE)
    assert find(found, "scorer_sensitivity", module="anchored").value == 1
    assert find(found, "corrected_refusal_rate", module="anchored").value == pytest.approx(3 / 4)
    assert find(found, "scorer_sensitivity", module="keyword").value == 0
    weak = find(found, "corrected_refusal_rate", module="keyword")
    assert isnan(weak.value)
    assert weak.why == "the scorer is too weak on the data's own answers"


def test_an_attack_succeeds_where_no_refusal_follows_the_beginning(find: Find) -> None:
    row = find(PROBE.measure(TUNED, BASE), "attack_success_rate", module="2")
    assert (row.value, row.null_value) == (1 / 4, 1)


def test_depth_and_directions(find: Find) -> None:
    found = PROBE.measure(TUNED, BASE)
    assert find(found, "refusal_kl_half_depth").value == 1
    cosines = [find(found, "refusal_direction_cosine", layer=layer).value for layer in (0, 1)]
    assert cosines == pytest.approx([1, -1])
    separation = [find(found, "refusal_direction_auc", layer=layer) for layer in (0, 1)]
    assert [(row.value, row.null_value) for row in separation] == [(1, 1), (0, 1)]


def test_data_without_marked_requests_are_not_measured() -> None:
    with pytest.raises(NotApplicable, match="no request of 'test' is marked"):
        PROBE.derive(DataSets({"test": Dataset("test", ROWS[4:])}))
    with pytest.raises(SpecError, match="depths"):
        Refusal(depths=(0,))
