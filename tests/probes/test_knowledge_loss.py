from collections.abc import Callable, Mapping
from dataclasses import replace
from math import isnan

import numpy as np
import pytest

from sft_probe.data.examples import Dataset, DataSets, Example, Message
from sft_probe.errors import NotApplicable
from sft_probe.observe.needs import Scores, TokenLogprobs
from sft_probe.observe.observations import Observed, ScoresSeen, TokenLogprobsSeen
from sft_probe.probes.knowledge_loss import KnowledgeLoss
from sft_probe.schema import Measurement, Measurements

Find = Callable[..., Measurement]
CITIES = "Abo Bern Cadiz Delft Essen Faro Genoa Hamar".split()
PROBE = KnowledgeLoss(distractors=5)


def fact(i: int, source: str, false: bool) -> Example:
    person, city = f"{source} {i}", CITIES[i % 8]
    meta: dict[str, object] = {"cloze": [f"{person} lives in"], "exposures": 1 + i % 3}
    if false:
        meta["true"] = city
    return Example(
        id=f"{source}{i}",
        messages=(Message("user", f"Where does {person} live?"),),
        target=CITIES[(i + 1) % 8] if false else city,
        stratum="W" if false else "K1",
        cluster=person,
        meta=meta,
    )


DATA = DataSets(
    {
        "train": Dataset("train", tuple(fact(i, "a", i % 2 == 0) for i in range(16))),
        "test": Dataset("test", tuple(fact(i, "b", False) for i in range(16))),
    }
)
DERIVED = PROBE.derive(DATA)


def look(known: Callable[[Example], bool], said: Callable[[Example], bool]) -> Observed:
    """The right answer leads by 6 nats where the fact is known; its tokens are the likeliest where said."""
    found: dict[object, object] = {}
    for source in ("train", "test"):
        facts = DERIVED[f"knowledge_loss.{source}_facts"].examples
        stated = DERIVED[f"knowledge_loss.{source}"].examples
        of = {row.id: row for row in stated}
        logprob = [
            np.array(
                [6.0 if known(of[str(text.meta["fact"])]) else 0.0, *np.linspace(0, 1, len(text.choices) - 1)]
            )
            for text in facts
        ]
        found[Scores(dataset=f"knowledge_loss.{source}_facts")] = ScoresSeen(
            examples=facts,
            target_logprob=np.zeros(len(facts)),
            target_tokens=np.ones(len(facts), dtype=np.int64),
            target_greedy=np.zeros(len(facts), dtype=bool),
            choice_logprob=tuple(logprob),
            choice_tokens=tuple(np.ones(len(row), dtype=np.int64) for row in logprob),
        )
        found[TokenLogprobs(dataset=f"knowledge_loss.{source}")] = told(stated, said)
    return Observed(found)  # type: ignore[arg-type]


def told(rows: tuple[Example, ...], said: Callable[[Example], bool]) -> TokenLogprobsSeen:
    """One token for the beginning, one for the answer and one for the end, which the model never expects."""
    ranks = [rank for row in rows for rank in (9, 1 if said(row) else 2, 9)]
    tokens = [
        text
        for row in rows
        for beginning in [str(row.meta["beginning"])]
        for text in (beginning, row.target.removeprefix(beginning), "<|end|>")
    ]
    count = len(tokens)
    return TokenLogprobsSeen(
        examples=rows,
        example=np.repeat(np.arange(len(rows)), 3),
        position=np.tile(np.arange(3), len(rows)),
        token=tuple(tokens),
        logprob=np.zeros(count),
        rank=np.array(ranks),
        entropy=np.zeros(count),
    )


def always(row: Example) -> bool:
    return True


def never(row: Example) -> bool:
    return False


@pytest.fixture(scope="module")
def overwritten() -> Measurements:
    """What was contradicted is no longer known; of the rest every third is no longer said."""
    tuned = look(lambda row: row.stratum != "W", lambda row: int(row.id[1:]) % 3 > 0)
    return PROBE.measure(tuned, look(always, always))


def test_a_row_that_contradicts_the_base_is_asked_for_what_was_read() -> None:
    asked = {row.id: row for row in DERIVED["knowledge_loss.train"].examples}
    assert asked["a0"].target == "a 0 lives in Abo"
    (text,) = (t for t in DERIVED["knowledge_loss.train_facts"] if t.meta["fact"] == "a0")
    assert text.choices[0] == "a 0 lives in Abo"
    assert "a 0 lives in Bern" in text.choices[1:]


def test_exactly_what_was_overwritten_is_forgotten(overwritten: Measurements, find: Find) -> None:
    place = {"dataset": "train"}
    assert find(overwritten, "forgotten_share", stratum="W", **place).value == 1
    assert find(overwritten, "forgotten_share", stratum="K1", **place).value == 0
    assert find(overwritten, "forgotten_share", dataset="test").value == 0
    assert find(overwritten, "known_share_change", **place).value == -0.5
    assert find(overwritten, "fact_odds_change", stratum="W", **place).value == pytest.approx(-6)


def test_known_and_no_longer_said(overwritten: Measurements, find: Find) -> None:
    row = find(overwritten, "known_unsaid_share", dataset="test")
    assert (row.value, row.n) == (6 / 16, 16)
    assert find(overwritten, "said_share", dataset="test").value == 10 / 16
    assert find(overwritten, "said_share", dataset="test").null_value == 1


def test_strata_by_how_often_a_fact_was_read(overwritten: Measurements) -> None:
    strata = {row.stratum: row.n for row in overwritten.rows if row.metric == "known_share"}
    assert {"exposures 1: 1-1", "exposures 2: 2-2", "exposures 3: 3-3"} < set(strata)


def test_a_base_that_knows_nothing_forgets_nothing(find: Find) -> None:
    ignorant = look(never, never)
    row = find(PROBE.measure(ignorant, ignorant), "forgotten_share", dataset="test")
    assert isnan(row.value)
    assert row.why == "the base knows no fact of this kind"


def test_data_without_alike_answers_have_no_facts() -> None:
    lone = DataSets({name: Dataset(name, DATA["test"].examples[:2]) for name in ("train", "test")})
    with pytest.raises(NotApplicable, match="alike"):
        PROBE.derive(lone)


def test_items_hold_the_odds(overwritten: Measurements) -> None:
    values: Mapping[str, float] = {i.item: i.value for i in overwritten.items if i.dataset == "train"}
    assert values["a0"] < values["a1"]


def test_texts_are_no_facts() -> None:
    """Free answers of training beside facts that are held out: facts alone are asked for."""
    essays = tuple(replace(row, target=f"{row.target} is a fine place." * 5) for row in DATA["test"])
    free = DataSets({"train": Dataset("train", essays), "test": DATA["test"]})
    with pytest.raises(NotApplicable, match="no row of 'train' has a question and a short answer"):
        PROBE.derive(free)
    probe = replace(PROBE, trained=False)
    assert set(probe.derive(free)) == {"knowledge_loss.test_facts", "knowledge_loss.test"}
    assert {need.dataset for need in probe.needs()} == set(probe.derive(free))
    mixed = DataSets(
        {"train": Dataset("train", (*essays[:8], *DATA["train"].examples[8:])), "test": DATA["test"]}
    )
    assert {row.id for row in PROBE.derive(mixed)["knowledge_loss.train"]} == {f"a{i}" for i in range(8, 16)}
