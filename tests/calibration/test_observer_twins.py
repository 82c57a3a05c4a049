"""An observer that looks wrongly turns a check red too: real tiny models, looked at through it."""

from __future__ import annotations

import pytest
import torch

from sft_probe.observe import observer
from sft_probe.observe.observer import Observer
from sft_probe.probes.token_shift import TokenShift
from sft_probe.testing.tiny import tiny_base, tiny_data, tiny_tuned

PROBE = TokenShift(contexts="gold")


def divergence(*, base_in_train_mode: bool) -> float:
    base = tiny_base("gpt2")
    tuned = tiny_tuned(base).eval()
    base.model.train(base_in_train_mode)
    look = Observer(base, tiny_data()).look(tuned, PROBE.needs())
    rows = PROBE.measure(look, look).rows
    return next(row.value for row in rows if row.metric == "kl_tuned_base" and not row.stratum)


def test_a_base_in_train_mode_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tiny model has dropout, which is on in train mode; the observer must not let it be."""
    planted = divergence(base_in_train_mode=False)
    assert divergence(base_in_train_mode=True) == planted
    monkeypatch.setattr(observer, "lend", lambda model: torch.no_grad())  # and the modes as they are
    assert divergence(base_in_train_mode=False) == planted
    assert abs(divergence(base_in_train_mode=True) - planted) > 0.01
