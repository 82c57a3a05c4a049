"""A base, a model some way off it, and one batch of two rows that end at different places."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn

from sft_probe.models.load import LoadedModel
from sft_probe.testing.tiny import tiny_base, tiny_tuned
from sft_probe.train.regularisers.base import Batch, Part, Regulariser, Setting

IGNORED = -100
ROWS = {
    "generic": [
        {"input_ids": [1, 20, 21, 22], "labels": [IGNORED, 20, 21, 22]},
        {"input_ids": [1, 30, 31], "labels": [IGNORED, 30, 31]},
    ],
    "nothing": [],
}


class Bench(NamedTuple):
    """Everything a regulariser meets in one forward pass."""

    base: LoadedModel
    model: nn.Module
    setting: Setting
    batch: Batch

    def added(self, regulariser: Regulariser, loss: float = 0.0) -> Tensor:
        """The loss after the regulariser, of one that was `loss` before."""
        part: Part = regulariser.begin(self.setting)
        return part.loss(torch.tensor(loss), self.batch)

    def logits(self, model: Any = None) -> list[Tensor]:
        """Logits at the trained tokens, row by row, each row read alone."""
        found = []
        for row in range(2):
            length = int(self.batch.inputs["attention_mask"][row].sum())
            ids, labels = (self.batch.inputs[name][row, :length] for name in ("input_ids", "labels"))
            logits = (model or self.model)(input_ids=ids[None]).logits[0, :-1]
            found.append(logits[labels[1:] != IGNORED])
        return found


@pytest.fixture
def bench() -> Bench:
    base = tiny_base()
    model = tiny_tuned(base).eval()  # dropout would draw
    return put_together(base, model)


def put_together(base: LoadedModel, model: nn.Module, *, tokens: float = 5.0, share: float = 1.0) -> Bench:
    inputs = {
        "input_ids": torch.tensor([[5, 6, 7, 8, 9], [5, 7, 9, 0, 0]]),
        "attention_mask": torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]]),
        "labels": torch.tensor([[IGNORED, IGNORED, 7, 8, 9], [IGNORED, 7, 9, IGNORED, IGNORED]]),
    }
    setting = Setting(model=model, base=base, rows=lambda name: ROWS[name], steps=10, seed=0)
    return Bench(base, model, setting, Batch(model, base.model, inputs, tokens, share))
