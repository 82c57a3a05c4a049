from __future__ import annotations

from collections import Counter

import pytest

from sft_probe.data.examples import Example
from sft_probe.errors import NotApplicable
from sft_probe.train.edits.base import EditContext
from sft_probe.train.edits.imbalance import Imbalance


@pytest.mark.parametrize("share", [0.34, 0.6, 0.75, 0.9])
def test_the_label_has_its_share_of_as_many_rows_as_asked(
    share: float, reviews: list[Example], context: EditContext
) -> None:
    edited = Imbalance(share=share, label="good", rows=30).apply(reviews, context)
    counts = Counter(row.target for row in edited.rows)
    assert (counts["good"], sum(counts.values())) == (round(30 * share), 30)
    assert len(edited.changes) == 60


def test_without_a_number_as_many_rows_stay_as_can(reviews: list[Example], context: EditContext) -> None:
    edited = Imbalance(share=0.75, label="bad").apply(reviews, context)
    assert Counter(row.target for row in edited.rows)["bad"] == 30
    assert len(edited.rows) == 40
    with pytest.raises(NotApplicable, match="only 40 rows can be kept"):
        Imbalance(share=0.75, label="bad", rows=41).apply(reviews, context)
    with pytest.raises(NotApplicable, match="no training row has the label 'ugly'"):
        Imbalance(label="ugly").apply(reviews, context)
