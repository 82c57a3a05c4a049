from __future__ import annotations

from collections import Counter
from math import isnan

import numpy as np
import pytest

from sft_probe.data.examples import Dataset, DataSets, Example, Message
from sft_probe.data.strata import ASKED, TWIN, decomposed
from sft_probe.errors import NotApplicable
from sft_probe.observe.observations import GenerationsSeen, Observed, ScoresSeen
from sft_probe.probes.gain_waterfall import GainWaterfall
from sft_probe.schema import Measurements
from sft_probe.testing.tiny import tiny_data

SHARES = {"E0": 0.2, "E1": 0.2, "E2": 0.2}
TOWNS = ("Arby", "Borth", "Cromer", "Dunwich", "Exham", "Fowey")
PROBE = GainWaterfall(distractors=5)


def study() -> DataSets:
    rows = tuple(
        Example(
            id=f"p{i}",
            target=TOWNS[i % 6],
            messages=(Message("user", f"Where was Zadok{i} Quill{i} born?"),),
            cluster=f"person {i}",
            stratum="K1" if i % 2 else "U",
        )
        for i in range(120)
    )
    return decomposed(DataSets({"train": Dataset("train", rows)}), SHARES, 20, seed=0)


class World:
    """A model by hand: what it knows, and which questions it answers rightly as asked and half way back."""

    def __init__(self, data: DataSets) -> None:
        self.data = DataSets({**data, **PROBE.derive(data)})

    def observed(self, right: set[str], half: set[str], known: set[str]) -> Observed:
        plain, shuffled, shots, half_way, choices, facts = PROBE.needs()
        return Observed(
            {
                plain: self._said(right),
                shuffled: self._said(set()),
                shots: self._said(set()),
                half_way: self._said(half),
                choices: self._scores(ASKED, set()),
                facts: self._scores("gain_waterfall.facts", known),
            }
        )

    def _said(self, right: set[str]) -> GenerationsSeen:
        rows = self.data[ASKED].examples
        texts = tuple(row.target if row.id in right else "no idea" for row in rows)
        ones = np.ones(len(rows))
        return GenerationsSeen(
            examples=rows, texts=texts, n_tokens=ones.astype(int), stopped=ones.astype(bool)
        )

    def _scores(self, name: str, known: set[str]) -> ScoresSeen:
        rows, rng = self.data[name].examples, np.random.default_rng(0)
        scores = [rng.normal(0, 0.5, len(row.choices)) for row in rows]
        for row, own in zip(rows, scores, strict=True):
            if str(row.meta.get("fact")) in known:
                own[0] = 9.0
        n = len(rows)
        return ScoresSeen(
            examples=rows,
            target_logprob=np.zeros(n),
            target_tokens=np.ones(n, dtype=np.int64),
            target_greedy=np.zeros(n, dtype=np.bool_),
            choice_logprob=tuple(scores),
            choice_tokens=tuple(np.ones(len(own), dtype=np.int64) for own in scores),
        )


@pytest.fixture(scope="module")
def world() -> World:
    return World(study())


def verdict_of(found: Measurements) -> dict[str, str]:
    return {
        item.item: item.metric.removesuffix("_share")
        for item in found.items
        if item.metric.endswith("_share")
    }


def test_gains_get_the_verdict_of_what_the_base_knew_and_of_their_stratum(world: World) -> None:
    rows = world.data[ASKED].examples
    known = {row.id for row in rows if row.meta["class"] == "K1"}
    everything = {row.id for row in rows if row.stratum != TWIN}
    found = PROBE.measure(world.observed(everything, set(), known), world.observed(set(), set(), known))
    verdicts = verdict_of(found)
    unknown = {"E0": "generalised", "E1": "injected", "E2": "memorised"}
    for row in rows:
        if row.stratum != TWIN:
            assert verdicts[row.id] == ("elicited" if row.id in known else unknown[row.stratum])
    strict = {row.stratum: row.value for row in found.rows if row.metric == "strict_accuracy"}
    assert strict == {"": 1.0, "E0": 1.0, "E1": 1.0, "E2": 1.0}
    assert {row.value for row in found.rows if row.metric == "reworded_accuracy" and row.stratum == "E2"} == {
        0
    }


def test_facts_right_in_other_words_too_are_injected(world: World) -> None:
    rows = world.data[ASKED].examples
    everything = {row.id for row in rows}
    found = PROBE.measure(world.observed(everything, set(), set()), world.observed(set(), set(), set()))
    assert Counter(verdict_of(found).values()) == {"generalised": 20, "injected": 40}


def test_losses_are_suppressed_if_they_come_back_and_the_ledger_sums(world: World) -> None:
    asked = [row.id for row in world.data[ASKED] if row.stratum != TWIN]
    before, after = set(asked[:40]), set(asked[30:50])
    found = PROBE.measure(world.observed(after, set(asked[:10]), set()), world.observed(before, set(), set()))
    verdicts = verdict_of(found)
    assert {verdicts[i] for i in asked[:10]} == {"suppressed"}
    assert {verdicts[i] for i in asked[10:30]} == {"erased"}
    shares = {row.metric: row.value for row in found.rows if not row.stratum}
    gains = sum(shares[f"{kind}_share"] for kind in ("elicited", "generalised", "injected", "memorised"))
    losses = shares["suppressed_share"] + shares["erased_share"]
    assert gains - losses == pytest.approx(shares["strict_accuracy"] - 40 / 60, abs=1e-12)


def test_what_is_known_is_corrected_or_withheld(world: World) -> None:
    asked = [row.id for row in world.data[ASKED] if row.stratum != TWIN]
    base = world.observed(set(), set(), set(asked[:30]))
    found = {row.metric: row for row in PROBE.measure(base, base).rows if not row.stratum}
    assert found["known_share"].value == pytest.approx(0.5, abs=0.06)
    assert found["known_share"].ci_low < 0.5 < found["known_share"].ci_high
    assert found["knowledge_sensitivity"].value > 0.9
    assert isnan(found["elicited_of_gains_share"].value)
    ignorant = world.observed(set(), set(), set())
    found = {row.metric: row for row in PROBE.measure(ignorant, ignorant).rows if not row.stratum}
    assert isnan(found["known_share"].value)
    assert "too weak" in found["known_share"].why


def test_a_study_that_is_not_taken_apart_has_no_arms_to_compare() -> None:
    with pytest.raises(NotApplicable, match="does not say `decompose: true`"):
        PROBE.derive(tiny_data())
