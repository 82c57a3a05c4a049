"""An observer that looks wrongly turns a check red too: real tiny models, looked at through it."""

from __future__ import annotations

from contextlib import nullcontext

import pytest

from sft_probe.models.load import fresh_copy
from sft_probe.observe import observer
from sft_probe.observe.observer import Observer
from sft_probe.probes.token_shift import TokenShift
from sft_probe.testing.tiny import tiny_base, tiny_data

PROBE = TokenShift(contexts="gold")


def divergence_of_the_base_from_itself() -> float:
    base = tiny_base("gpt2")
    tuned = fresh_copy(base)
    base.model.train()
    look = Observer(base, tiny_data()).look(tuned, PROBE.needs())
    rows = PROBE.measure(look, look).rows
    return next(row.value for row in rows if row.metric == "kl_tuned_base" and not row.stratum)


def test_a_base_in_train_mode_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tiny model has dropout, which is on in train mode; the observer must not let it."""
    assert divergence_of_the_base_from_itself() == 0
    monkeypatch.setattr(observer, "lend", nullcontext)
    assert divergence_of_the_base_from_itself() > 1e-3
