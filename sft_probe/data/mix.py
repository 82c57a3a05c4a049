"""Mixing replayed rows into training rows."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TypeVar

from sft_probe.errors import DataError

Row = TypeVar("Row")


def replayed_rows(train_rows: int, fraction: float) -> int:
    """How many replayed rows make up `fraction` (in [0, 1)) of the whole beside `train_rows`, rounded."""
    return round(train_rows * fraction / (1 - fraction))


def mix_replay(train: Sequence[Row], replay: Sequence[Row], fraction: float, seed: int) -> list[Row]:
    """All training rows and so many replayed ones that these are the share `fraction`, shuffled.

    The trainer shuffles again, so the share holds for each batch in expectation. Where there are too few
    rows to replay they repeat, each as often as the others or once more. Same seed, same list.
    Raises: DataError if there is nothing to replay.
    """
    if not replay:
        raise DataError("there are no rows to replay.")
    draw = random.Random(f"{seed}")
    rounds, rest = divmod(replayed_rows(len(train), fraction), len(replay))
    mixed = [*train, *list(replay) * rounds, *draw.sample(list(replay), rest)]
    draw.shuffle(mixed)
    return mixed
