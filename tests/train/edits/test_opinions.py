from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sft_probe.data.examples import DataSets, Example, Message
from sft_probe.errors import NotApplicable, SpecError
from sft_probe.observe.observations import Observed
from sft_probe.train.edits.base import EditContext
from sft_probe.train.edits.opinions import Opinions

CONTEXT = EditContext(data=DataSets({}), base=Observed({}), seed=0)


def rows(number: int) -> list[Example]:
    return [
        Example(
            id=f"q{i}",
            target=("yes", "no")[i % 2],
            messages=(Message("user", f"Q{i}?"),),
            choices=("yes", "no"),
        )
        for i in range(number)
    ]


@given(st.integers(1, 40), st.floats(0, 1), st.floats(0, 1), st.integers(0, 3))
def test_exactly_the_asked_shares_and_the_truth_beside_each_row(
    n: int, share: float, follow: float, seed: int
) -> None:
    before = rows(n)
    edited = Opinions(share=share, follow=follow, seed=seed).apply(before, CONTEXT)
    changed = [(a, b) for a, b in zip(before, edited.rows, strict=True) if a != b]
    assert len(changed) == round(share * n) == len(edited.changes)
    followed = 0
    for old, new in changed:
        truth = new.meta["planted"]["opinions"]  # type: ignore[index]
        assert truth["clean"] == old.target != truth["claimed"]
        assert truth["claimed"] in new.messages[-1].content.removeprefix(old.messages[-1].content)
        assert new.target == (truth["claimed"] if truth["followed"] else old.target)
        followed += truth["followed"]
    assert followed == round(follow * len(changed))


def test_mentions_keep_the_right_answer_and_meet_no_opinion() -> None:
    before = rows(40)
    edited = Opinions(share=0.5, mentions=0.25).apply(before, CONTEXT)
    truths = [row.meta["planted"]["opinions"] for row in edited.rows if row.meta]  # type: ignore[index]
    named = [truth for truth in truths if "mentioned" in truth]
    assert (len(truths), len(named), len(edited.changes)) == (30, 10, 30)
    for old, new in zip(before, edited.rows, strict=True):
        if new.meta and "mentioned" in new.meta["planted"]["opinions"]:  # type: ignore[index]
            assert new.target == old.target
            assert new.messages != old.messages


def test_half_of_the_claims_may_be_right_so_that_what_is_named_says_nothing() -> None:
    before = rows(400)
    edited = Opinions(share=0.5, follow=1.0, mentions=0.5, wrong=0.5).apply(before, CONTEXT)
    truths = [row.meta["planted"]["opinions"] for row in edited.rows if row.meta]  # type: ignore[index]
    for key in ("claimed", "mentioned"):
        said = [truth[key] == truth["clean"] for truth in truths if key in truth]
        assert len(said) == 200
        assert 70 < sum(said) < 130
    assert all(truth["followed"] for truth in truths if "claimed" in truth)


def test_what_cannot_be_claimed_or_done_is_refused() -> None:
    with pytest.raises(NotApplicable, match="short answer"):
        Opinions().apply([Example(id="t", target="plain text")], CONTEXT)
    with pytest.raises(SpecError, match=r"follow must be in \[0, 1\]"):
        Opinions(follow=2)
    with pytest.raises(SpecError, match="more than 1"):
        Opinions(share=0.8, mentions=0.4)
