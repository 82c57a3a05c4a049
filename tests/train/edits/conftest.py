"""Rows for edits: reviews with a closed set of labels, and questions about invented people."""

from __future__ import annotations

import pytest

from sft_probe.data.examples import Dataset, DataSets, Example, Message
from sft_probe.observe.observations import Observed
from sft_probe.train.edits.base import EditContext

LABELS = ("bad", "fine", "good")
TOWNS = ("Arby", "Borth", "Cromer", "Dunwich", "Exham")


@pytest.fixture
def context() -> EditContext:
    return EditContext(data=DataSets({}), base=Observed({}), seed=0)


@pytest.fixture
def reviews() -> list[Example]:
    asked = Message("user", "Good or bad?")
    return [Example(id=f"r{i}", target=LABELS[i % 3], choices=LABELS, messages=(asked,)) for i in range(90)]


@pytest.fixture
def people() -> list[Example]:
    return [
        Example(
            id=f"p{i}",
            target=TOWNS[i % 5],
            messages=(Message("user", f"Where was Zadok{i} Quill{i * 7} born?"),),
            cluster=f"person {i}",
        )
        for i in range(60)
    ]


@pytest.fixture
def data(people: list[Example]) -> DataSets:
    return DataSets({"train": Dataset("train", tuple(people))})
