"""Several short examples in one row: TRL's packing, and the proof that none of them sees another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from sft_probe.errors import ModelError, SpecError
from sft_probe.observe.lending import lend

if TYPE_CHECKING:
    from datasets import Dataset as Table
    from torch import Tensor, nn

NEAR = 1000  # times the rounding of the model's precision, in standard deviations of its logits


def packed(rows: Table, length: int | None) -> Table:
    """Rows of up to `length` tokens, each of whole examples, by TRL's best fit; `seq_lengths` divides them.

    A row of several examples has no stratum, so that column goes.  Raises: SpecError without a length.
    """
    from trl.data_utils import pack_dataset

    if length is None:
        raise SpecError("rows can be packed only up to a length.", field="training.packing")
    kept: Table = pack_dataset(rows.remove_columns("stratum"), seq_length=length, strategy="bfd")
    return kept


def require_apart(model: nn.Module, rows: Table, collate: Any) -> None:
    """Read examples in one row and each alone.

    rows: packed. collate: as the trainer does.  Raises: ModelError if the model's answers to one of them
    depend on the others, because its kernel heeds no boundaries or its adapter puts a prompt before the row.
    """
    row = next((row for row in rows if len(row["seq_lengths"]) > 1), None)
    if row is None:
        return
    device = next(model.parameters()).device
    with lend(model):
        together = _logits(model, collate([row]), device)
        first = 0
        for size in row["seq_lengths"]:
            own = slice(first, first + size)
            alone = {"input_ids": torch.tensor([row["input_ids"][own]])}
            if not _alike(together[own], _logits(model, alone, device)):
                raise ModelError(
                    f"a {type(model).__name__} reads examples that are packed into one row as one text.",
                    field="training.packing",
                    remedy="Set `packing: false`.",
                )
            first += size


def _logits(model: nn.Module, inputs: dict[str, Any], device: torch.device) -> Tensor:
    seen = {
        name: value.to(device) if isinstance(value, torch.Tensor) else value
        for name, value in inputs.items()
        if name != "labels"
    }
    logits: Tensor = model(**seen, use_cache=False).logits[0]
    return logits


def _alike(one: Tensor, other: Tensor) -> bool:
    if one.shape != other.shape:
        return False
    near = min(NEAR * torch.finfo(one.dtype).eps, 0.1)
    return bool((one - other).abs().max() < near * other.float().std())
