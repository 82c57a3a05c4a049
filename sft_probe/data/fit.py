"""Leave out rows that do not fit the training length, when the study asks for that instead of cutting."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sft_probe.data.chat import render
from sft_probe.data.examples import Dataset
from sft_probe.errors import DataError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def drop_too_long(dataset: Dataset, tokenizer: PreTrainedTokenizerBase, max_length: int) -> Dataset:
    """The rows whose prompt and answer have at most `max_length` tokens together, in the same order.

    Raises: DataError if none is left.
    """

    def fits(prompt_ids: list[int], target_ids: list[int]) -> bool:
        return len(prompt_ids) + len(target_ids) <= max_length

    rendered = ((example, render(example, tokenizer)) for example in dataset)
    kept = tuple(example for example, r in rendered if fits(r.prompt_ids, r.target_ids))
    if not kept:
        raise DataError(
            f"no {dataset.name} row has {max_length} tokens or fewer.",
            file=dataset.source or None,
            field="data.max_length",
            remedy="Raise it, or set `data.too_long` to `cut`.",
        )
    return Dataset(dataset.name, kept, dataset.source)
