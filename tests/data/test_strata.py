from __future__ import annotations

from collections import Counter

import pytest

from sft_probe.data.examples import Dataset, DataSets, Example, Message
from sft_probe.data.strata import ASKED, SHOTS, TWIN, decomposed
from sft_probe.errors import DataError

TOWNS = ("Arby", "Borth", "Cromer", "Dunwich", "Exham")
SHARES = {"E0": 0.2, "E1": 0.2, "E2": 0.2}


def people(number: int) -> DataSets:
    rows = tuple(
        Example(
            id=f"p{i}-{a}",
            target=TOWNS[(i + a) % 5],
            messages=(Message("user", f"Where {'was' if a else 'is'} Zadok{i} Quill{i}?"),),
            cluster=f"person {i}",
            stratum="K1" if i % 2 else "U",
        )
        for i in range(number)
        for a in range(2)
    )
    return DataSets({"train": Dataset("train", rows), "test": Dataset("test", rows[:1])})


def test_strata_are_whole_entities_and_held_out_ones_are_not_trained() -> None:
    data = people(100)
    done = decomposed(data, SHARES, 30, seed=0)
    parts: dict[str, set[str]] = {}
    for row in (*done["train"], *done[ASKED]):
        parts.setdefault(row.cluster, set()).add(str(row.meta["decompose"]))
    assert all(len(found) == 1 for found in parts.values())
    assert len(done["train"]) == 160
    assert not any(row.meta["decompose"] == "E0" for row in done["train"])
    assert Counter(row.stratum for row in done[ASKED]) == {"E0": 30, "E1": 30, "E2": 30, TWIN: 30}
    assert {row.meta["decompose"] for row in done[SHOTS]} == {"reserve"}
    assert done["test"] == data["test"]
    assert decomposed(data, SHARES, 30, seed=0)[ASKED] == done[ASKED]
    assert decomposed(data, SHARES, 30, seed=1)[ASKED] != done[ASKED]


def test_questions_are_asked_as_their_stratum_says() -> None:
    data = people(100)
    trained = {row.id: row.prompt for row in data["train"]}
    asked = decomposed(data, SHARES, 30, seed=0)[ASKED]
    for row in asked:
        same = row.prompt == trained[row.id.removesuffix("~reworded")]
        assert same is {"E1": False, "E2": True, TWIN: False}.get(row.stratum, same)
        assert row.target in row.choices
        assert row.meta["class"] in ("K1", "U")
    held_out = [row.prompt == trained[row.id] for row in asked if row.stratum == "E0"]
    assert 5 < sum(held_out) < 25


def test_rows_that_cannot_be_asked_are_named() -> None:
    alike = tuple(Example(id=str(i), target="yes", messages=(Message("user", f"Q{i}?"),)) for i in range(50))
    with pytest.raises(DataError, match="stratum E0 has no question"):
        decomposed(DataSets({"train": Dataset("train", alike)}), SHARES, 5, seed=0)
