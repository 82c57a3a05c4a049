"""Hold out a test set when a user brings one file: whole clusters, never the same prompt on both sides."""

from __future__ import annotations

import random

from sft_probe.data.examples import Dataset, Example
from sft_probe.errors import DataError


def hold_out(whole: Dataset, share: float, seed: int) -> tuple[Dataset, Dataset]:
    """Split into ("train", "test") with about `share` of the rows in the test set.

    Rows that share a cluster, or without one a prompt, stay together. The same seed gives the same split
    whatever the order of the rows.
    Raises: DataError if there are fewer than two groups to divide.
    """
    groups: dict[str, list[Example]] = {}
    for example in whole:
        groups.setdefault(group_of(example), []).append(example)
    if len(groups) < 2:
        raise DataError(
            "the training data is one single group of rows, so no test set can be held out.",
            file=whole.source or whole.name,
            remedy="Give a test file as `data.test`.",
        )
    names = sorted(groups)
    random.Random(f"{seed}:hold_out").shuffle(names)
    wanted, rows, held = max(1, round(share * len(whole))), 0, set[str]()
    for name in names[:-1]:
        if rows >= wanted:
            break
        held.add(name)
        rows += len(groups[name])
    train = tuple(e for e in whole if group_of(e) not in held)
    test = tuple(e for e in whole if group_of(e) in held)
    return Dataset("train", train, whole.source), Dataset("test", test, whole.source)


def group_of(example: Example) -> str:
    """What must stay on one side: its cluster, else its prompt without case and spacing."""
    return example.cluster or " ".join((example.prompt or example.target).split()).casefold()
