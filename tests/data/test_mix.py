from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sft_probe.data.mix import mix_replay, replayed_rows
from sft_probe.errors import DataError


@given(
    train=st.integers(1, 60), replay=st.integers(1, 60), fraction=st.floats(0, 0.8), seed=st.integers(0, 5)
)
def test_every_row_stays_and_the_share_is_met(train: int, replay: int, fraction: float, seed: int) -> None:
    ours, theirs = [("train", i) for i in range(train)], [("replay", i) for i in range(replay)]
    mixed = mix_replay(ours, theirs, fraction, seed)
    assert sorted(row for row in mixed if row[0] == "train") == ours
    replayed = [row for row in mixed if row[0] == "replay"]
    assert len(replayed) == replayed_rows(train, fraction)
    assert abs(len(replayed) - fraction * len(mixed)) <= 0.5 + 1e-9, "off by more than rounding"
    times = [replayed.count(row) for row in theirs]
    assert max(times) - min(times) <= 1
    assert mixed == mix_replay(ours, theirs, fraction, seed)


def test_another_seed_draws_and_orders_otherwise() -> None:
    ours, theirs = list(range(50)), list(range(100, 200))
    assert mix_replay(ours, theirs, 0.5, seed=0) != mix_replay(ours, theirs, 0.5, seed=1)


def test_nothing_to_replay_is_refused() -> None:
    with pytest.raises(DataError, match="no rows to replay"):
        mix_replay([1], [], 0.5, seed=0)
