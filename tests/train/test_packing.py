"""Packing: the same losses and gradients as apart, and a refusal where they would not be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset as Table
from torch import Tensor, nn

from sft_probe.data.examples import Dataset, DataSets
from sft_probe.errors import ModelError, SpecError
from sft_probe.models.load import fresh_copy
from sft_probe.study.spec import ArmSpec, TrainingSpec
from sft_probe.testing.tiny import ARCHITECTURES, Architecture, tiny_base, tiny_data, tiny_model
from sft_probe.train.adapters import PromptTuning
from sft_probe.train.losses import TokenLosses
from sft_probe.train.packing import packed, require_apart
from sft_probe.train.sft import ArmRun, run_sft, training_rows

IGNORED = -100


def collate(rows: Any) -> Any:
    from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

    return DataCollatorForLanguageModeling(pad_token_id=0, padding_free=True)(rows)


def table(length: int = 64) -> Table:
    sets = tiny_data(12)
    data = DataSets({**sets, "train": Dataset("train", sets["test"].examples)})
    run = ArmRun(arm=ArmSpec(), training=TrainingSpec(packing=True), seed=0, max_length=length)
    return training_rows(run, tiny_base(), data)


def loss(model: nn.Module, inputs: Any) -> Tensor:
    """Sum over the tokens with labels."""
    seen = {name: value for name, value in inputs.items() if name != "labels"}
    logits = model(**seen, use_cache=False).logits[:, :-1]
    return nn.functional.cross_entropy(
        logits.flatten(0, 1), inputs["labels"][:, 1:].flatten(), reduction="sum"
    )


def test_every_example_is_in_some_row_whole() -> None:
    rows = table()
    assert max(len(row["input_ids"]) for row in rows) <= 64
    assert sum(len(row["seq_lengths"]) for row in rows) == 12
    assert len(rows) < 12
    assert all(sum(row["seq_lengths"]) == len(row["input_ids"]) for row in rows)
    with pytest.raises(SpecError, match="only up to a length"):
        packed(Table.from_list([{"input_ids": [1], "labels": [1], "stratum": ""}]), None)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_nothing_leaks_between_examples(architecture: Architecture) -> None:
    """Loss and gradients of a packed row are the sums of those of its examples."""
    model = tiny_model(architecture, dropout=0.0)
    row = next(row for row in table() if len(row["seq_lengths"]) > 2)
    require_apart(model, table(), collate)
    loss(model, collate([row])).backward()
    together = [weight.grad.clone() for weight in model.parameters() if weight.grad is not None]
    model.zero_grad()
    first = 0
    for size in row["seq_lengths"]:
        own = slice(first, first + size)
        alone = {name: torch.tensor([row[name][own]]) for name in ("input_ids", "labels")}
        loss(model, alone).backward()
        first += size
    apart = [weight.grad for weight in model.parameters() if weight.grad is not None]
    for one, other in zip(together, apart, strict=True):
        torch.testing.assert_close(one, other, atol=2e-4, rtol=1e-3)


def test_a_leak_is_refused() -> None:
    class Leaky(nn.Module):
        """Forgets the boundaries, as a kernel without them would."""

        def __init__(self) -> None:
            super().__init__()
            self.inner = tiny_model(dropout=0.0)

        def forward(self, input_ids: Tensor, **others: Any) -> Any:
            return self.inner(input_ids=input_ids)

    with pytest.raises(ModelError, match="packed into one row as one text"):
        require_apart(Leaky(), table(), collate)


def test_a_learned_prompt_stands_before_the_row_and_is_refused() -> None:
    model = PromptTuning(num_virtual_tokens=2).adapt(fresh_copy(tiny_base()))
    with pytest.raises(ModelError, match="packing"):
        require_apart(model, table(), collate)


def test_token_losses_are_told_apart() -> None:
    """As many clusters as examples, not as rows; the mean is that of the loss."""
    model = tiny_model(dropout=0.0).train()
    rows = table()
    listener = TokenLosses(tiny_base().tokenizer, rows)
    handle = listener.attach(model)
    inputs = collate([rows[0]])
    total = model(**{**inputs, "use_cache": False}).loss
    handle.remove()
    found = next(iter(listener.rows()))
    assert found.n_clusters == len(rows[0]["seq_lengths"])
    assert found.value == pytest.approx(float(total.detach()), rel=1e-5)


def test_a_packed_training_learns(tmp_path: Path) -> None:
    sets = tiny_data(16)
    data = DataSets({**sets, "train": Dataset("train", sets["test"].examples)})
    training = TrainingSpec(max_steps=20, per_device_train_batch_size=2, learning_rate=5e-3, packing=True)
    run = ArmRun(arm=ArmSpec(), training=training, seed=0, max_length=64)
    found = run_sft(run, tiny_base(), data, tmp_path)
    assert found.train_rows < 16
    assert found.metrics["train_loss"] < 4.5
