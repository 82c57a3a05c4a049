from __future__ import annotations

import pytest

from sft_probe.data.chat import render
from sft_probe.data.fit import drop_too_long
from sft_probe.errors import DataError
from sft_probe.testing.tiny import tiny_data, tiny_tokenizer


def test_rows_that_fit_stay_in_order_and_whole() -> None:
    tokenizer, data = tiny_tokenizer(), tiny_data(20)["test"]
    lengths = {e.id: len(r.prompt_ids) + len(r.target_ids) for e in data for r in [render(e, tokenizer)]}
    limit = sorted(lengths.values())[10]
    kept = drop_too_long(data, tokenizer, limit)
    assert [e.id for e in kept] == [e.id for e in data if lengths[e.id] <= limit]
    assert drop_too_long(data, tokenizer, max(lengths.values())).digest == data.digest


def test_nothing_left_is_an_error() -> None:
    with pytest.raises(DataError, match="4 tokens or fewer"):
        drop_too_long(tiny_data(4)["test"], tiny_tokenizer(), 4)
