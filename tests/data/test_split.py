from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sft_probe.data.examples import Dataset, Example, Message
from sft_probe.data.split import hold_out
from sft_probe.errors import DataError


def dataset(clusters: list[str]) -> Dataset:
    rows = (
        Example(id=str(i), target="a", messages=(Message("user", f"question {i}"),), cluster=cluster)
        for i, cluster in enumerate(clusters)
    )
    return Dataset("train", tuple(rows))


@given(clusters=st.lists(st.sampled_from("abcdefgh"), min_size=2), share=st.floats(0.05, 0.5))
def test_every_row_lands_once_and_clusters_stay_whole(clusters: list[str], share: float) -> None:
    whole = dataset(clusters)
    if len(set(clusters)) < 2:
        with pytest.raises(DataError, match="one single group"):
            hold_out(whole, share, seed=0)
        return
    train, test = hold_out(whole, share, seed=0)
    assert sorted(e.id for e in (*train, *test)) == sorted(e.id for e in whole)
    assert train.examples
    assert test.examples
    assert {e.cluster for e in train}.isdisjoint(e.cluster for e in test)


def test_same_prompt_in_other_spelling_stays_on_one_side() -> None:
    rows = tuple(
        Example(id=f"{i}{variant}", target="a", messages=(Message("user", text),))
        for i in range(40)
        for variant, text in enumerate((f"What is {i}?", f"what  IS {i}?"))
    )
    train, test = hold_out(Dataset("train", rows), 0.25, seed=3)
    assert len(test) == 20
    assert {e.id[:-1] for e in train}.isdisjoint(e.id[:-1] for e in test)


def test_split_does_not_depend_on_the_order_of_rows() -> None:
    whole = dataset(list("aabbccddeeffgg"))
    backwards = Dataset("train", whole.examples[::-1])
    assert {e.id for e in hold_out(whole, 0.3, 1)[1]} == {e.id for e in hold_out(backwards, 0.3, 1)[1]}
