"""Strata of a decomposed study: which facts are held out, trained and asked in other words, or verbatim."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import replace

from sft_probe.data.examples import Dataset, DataSets, Example
from sft_probe.data.matching import LEAST, wrong_answers
from sft_probe.data.split import group_of
from sft_probe.data.wordings import rephrased
from sft_probe.errors import DataError

HELD_OUT, PARAPHRASED, VERBATIM, RESERVE = "E0", "E1", "E2", "reserve"
TWIN = "E2 reworded"  # the same facts as E2 in other words: what tells memory of words from knowledge
ASKED, SHOTS = (
    "decompose",
    "decompose.shots",
)  # data sets: the questions, and rows to take few-shot examples from
WRONG = 15  # answers beside each right one


def decomposed(data: DataSets, shares: Mapping[str, float], items: int, seed: int) -> DataSets:
    """The study's data with training rows dealt to strata, and with the questions about them.

    shares: of the rows, by stratum; the rest is the reserve. Whole groups are dealt at random. "train"
    loses the held-out rows; every row says its part as `meta.decompose`. Half of the held-out questions are
    put in other words. Questions keep the ids of their rows and say their old stratum as `meta.class`.
    Raises: DataError if a stratum gets no question that can be asked.
    """
    train = data["train"]
    parts = _deal(train, shares, seed)
    rows = [replace(row, meta={**row.meta, "decompose": parts[group_of(row)]}) for row in train]
    asked = tuple(_questions(rows, shares, items, seed))
    for stratum in shares:
        if not any(question.stratum == stratum for question in asked):
            raise DataError(
                f"stratum {stratum} has no question with a user turn and wrong answers of its kind.",
                file=train.source or None,
                field="decompose",
                remedy="Give more training rows, or more answers that differ.",
            )
    shots = tuple(row for row in rows if row.meta["decompose"] == RESERVE)
    kept = tuple(row for row in rows if row.meta["decompose"] != HELD_OUT)
    return DataSets(
        {
            **data,
            "train": replace(train, examples=kept),
            ASKED: Dataset(ASKED, asked, train.source),
            SHOTS: Dataset(SHOTS, shots, train.source),
        }
    )


def _deal(train: Dataset, shares: Mapping[str, float], seed: int) -> dict[str, str]:
    """Part of each group: strata are filled one after the other with groups in random order."""
    sizes: dict[str, int] = {}
    for row in train:
        sizes[group_of(row)] = sizes.get(group_of(row), 0) + 1
    names = sorted(sizes)
    random.Random(f"{seed}:decompose").shuffle(names)
    parts, left = {}, iter(names)
    for stratum, share in shares.items():
        filled = 0
        while filled < share * len(train) and (name := next(left, None)) is not None:
            parts[name] = stratum
            filled += sizes[name]
    return parts | dict.fromkeys(left, RESERVE)


def _questions(rows: list[Example], shares: Mapping[str, float], items: int, seed: int) -> Iterator[Example]:
    wrong = {row.id: answers for row, answers in zip(rows, wrong_answers(rows, WRONG, seed), strict=True)}
    draw = random.Random(f"{seed}:decompose.items")
    for stratum in shares:
        able = [
            r for r in rows if r.meta["decompose"] == stratum and r.messages and len(wrong[r.id]) >= LEAST
        ]
        for row in draw.sample(able, min(items, len(able))):
            question = replace(
                row,
                choices=tuple(sorted((row.target, *wrong[row.id]))),
                stratum=stratum,
                meta={**row.meta, "class": row.stratum},
            )
            reworded = stratum == PARAPHRASED or (stratum == HELD_OUT and draw.random() < 0.5)
            yield rephrased(question, 0) if reworded else question
            if stratum == VERBATIM:
                yield replace(rephrased(question, 0), id=f"{row.id}~reworded", stratum=TWIN)
