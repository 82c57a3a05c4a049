from __future__ import annotations

import pytest

from sft_probe.data.examples import Dataset, DataSets, Example
from sft_probe.errors import NotApplicable, SpecError
from sft_probe.observe.observations import Observed
from sft_probe.train.edits.base import EditContext
from sft_probe.train.edits.mixture import Mixture


def rows(name: str, number: int) -> tuple[Example, ...]:
    return tuple(Example(id=f"{name}{i}", target=name) for i in range(number))


def mixed(share: float, others: int = 20, seed: int = 0) -> list[str]:
    data = DataSets({"train": Dataset("train", rows("own", 20)), "o": Dataset("o", rows("other", others))})
    context = EditContext(data=data, base=Observed({}), seed=0)
    edited = Mixture(dataset="o", share=share, seed=seed).apply(data["train"].examples, context)
    assert len(edited.rows) == 20
    assert len(edited.changes) == sum(row.target == "other" for row in edited.rows)
    assert all(("planted" in row.meta) is (row.target == "other") for row in edited.rows)
    return [row.id for row in edited.rows]


def test_the_share_is_exact_and_lower_doses_lie_in_higher_ones() -> None:
    assert not {i for i in mixed(0.0) if i.startswith("other")}
    low, high = ({i for i in mixed(share) if i.startswith("other")} for share in (0.25, 0.6))
    assert (len(low), len(high)) == (5, 12)
    assert low < high
    assert all(i.startswith("other") for i in mixed(1.0))
    assert mixed(0.5) == mixed(0.5)
    assert mixed(0.5) != mixed(0.5, seed=1)


def test_what_cannot_be_mixed_is_said() -> None:
    with pytest.raises(NotApplicable, match="has 3 rows, not 10"):
        mixed(0.5, others=3)
    with pytest.raises(SpecError, match="share"):
        Mixture(share=1.5)
    context = EditContext(
        data=DataSets({"train": Dataset("train", rows("own", 2))}), base=Observed({}), seed=0
    )
    with pytest.raises(NotApplicable, match="no data set 'others'"):
        Mixture().apply(rows("own", 2), context)
