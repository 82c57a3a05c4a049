"""Preferred and rejected answers: how they are read, and how they become rows for preference optimisation.

What stands in `Example.meta`: `rejected`, the answer to which the target is preferred; or, where answers were
judged one by one, `desirable`, whether the target is to be learned or to be avoided.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from sft_probe.data.chat import render
from sft_probe.data.examples import Dataset, Example
from sft_probe.data.formats import Format, Row, Where, from_messages, from_prompt_completion, reads
from sft_probe.errors import DataError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

REJECTED, DESIRABLE = "rejected", "desirable"

Tokens = dict[str, Any]


@reads(("chosen",), ("rejected",))
def from_preference(row: Row, where: Where) -> Example:
    """Pairs `{"prompt", "chosen", "rejected"}`, as text or as turns; turns may hold the prompt themselves.

    The target is the chosen answer; the rejected one is the other choice.
    """
    chosen, rejected = (_answered(row, where, field) for field in ("chosen", "rejected"))
    if chosen.messages != rejected.messages:
        raise where.error("the two answers are not to the same prompt.", "rejected")
    if chosen.target == rejected.target:
        raise where.error("the chosen and the rejected answer are the same.", "rejected")
    return replace(
        chosen,
        choices=(chosen.target, rejected.target),
        meta={**chosen.meta, REJECTED: rejected.target},
    )


def _answered(row: Row, where: Where, field: str) -> Example:
    plain = {name: value for name, value in row.items() if name not in ("chosen", "rejected", "choices")}
    answer = row[field]
    if row.get("prompt") is not None:
        return from_prompt_completion({**plain, "completion": answer}, where)
    if isinstance(answer, str):
        raise where.error("the field is missing or null.", "prompt")
    return from_messages({**plain, "messages": answer}, where)


def _judged(row: Row, where: Where) -> Example:
    """Judged answers `{"prompt", "completion", "label"}`; label true: desirable, false: not."""
    label = row.get("label")
    if not isinstance(label, bool):
        raise where.error(f"expected true or false, found {label!r}.", "label")
    read = from_prompt_completion(row, where)
    return replace(read, meta={**read.meta, DESIRABLE: label})


@dataclass(frozen=True)
class _Judged(Format):
    """A label may mean anything; only true and false are judgements."""

    def recognises(self, row: Row) -> bool:
        return super().recognises(row) and isinstance(row["label"], bool)


from_feedback = _Judged(_judged, (("prompt",), ("completion",), ("label",)), 0)


def rejected_in(example: Example, data: Dataset) -> str:
    """The answer to which the target is preferred. Raises: DataError if the row has none."""
    other = example.meta.get(REJECTED)
    if not isinstance(other, str):
        raise _lacks(data, example, REJECTED, "Give rows of `prompt`, `chosen` and `rejected`.")
    return other


def judgements_in(example: Example, data: Dataset) -> tuple[tuple[str, bool], ...]:
    """Answers, and whether each is desirable: both of a pair. Raises: DataError if nothing was judged."""
    if isinstance(desirable := example.meta.get(DESIRABLE), bool):
        return ((example.target, desirable),)
    if isinstance(other := example.meta.get(REJECTED), str):
        return (example.target, True), (other, False)
    raise _lacks(data, example, "label", "Give rows of `prompt`, `completion` and `label`, or pairs.")


def paired_rows(data: Dataset, tokenizer: PreTrainedTokenizerBase, max_length: int | None) -> list[Tokens]:
    """`prompt_ids`, `chosen_ids` and `rejected_ids` of each pair, cut at the end to `max_length` tokens.

    Pairs of which the cut leaves no difference are left out.
    Raises: DataError for a row without a rejected answer, or if no pair is left.
    """
    rows = []
    for example in data:
        prompt, chosen = _cut(example, tokenizer, max_length)
        _, rejected = _cut(replace(example, target=rejected_in(example, data)), tokenizer, max_length)
        if chosen != rejected:
            rows.append({"prompt_ids": prompt, "chosen_ids": chosen, "rejected_ids": rejected})
    return _some(rows, data)


def judged_rows(data: Dataset, tokenizer: PreTrainedTokenizerBase, max_length: int | None) -> list[Tokens]:
    """`prompt_ids`, `completion_ids` and `label` of each judged answer, cut as pairs are; a pair gives two.

    Raises: DataError for a row without a judgement, or if the cut leaves no answer.
    """
    rows = []
    for example in data:
        for answer, desirable in judgements_in(example, data):
            prompt, ids = _cut(replace(example, target=answer), tokenizer, max_length)
            if ids:
                rows.append({"prompt_ids": prompt, "completion_ids": ids, "label": desirable})
    return _some(rows, data)


def with_mismatched(rows: Sequence[Mapping[str, Any]], batch: int) -> list[Tokens]:
    """Rows with `KL_completion_ids`: in each batch, the answer to the row before, for KTO to estimate its KL.

    Source: Ethayarajh et al. 2024 (arXiv 2402.01306), section 4.1; `KTOTrainer._prepare_dataset` of trl 1.16.
    """
    found = []
    for start in range(0, len(rows), batch):
        own = rows[start : start + batch]
        answers = [row["completion_ids"] for row in own]
        others = (answers[-1], *answers[:-1])
        found += [{**row, "KL_completion_ids": other} for row, other in zip(own, others, strict=True)]
    return found


def _cut(
    example: Example, tokenizer: PreTrainedTokenizerBase, max_length: int | None
) -> tuple[list[int], list[int]]:
    rendered = render(example, tokenizer)
    room = None if max_length is None else max(0, max_length - len(rendered.prompt_ids))
    return rendered.prompt_ids, rendered.target_ids[:room]


def _lacks(data: Dataset, example: Example, field: str, remedy: str) -> DataError:
    return DataError(
        f"the row '{example.id}' has no {field}, so nothing can be preferred.",
        file=data.source or data.name,
        field=field,
        remedy=remedy,
    )


def _some(rows: list[Tokens], data: Dataset) -> list[Tokens]:
    if not rows:
        raise DataError(
            "no answer is left once rows are cut to `data.max_length`.", file=data.source or data.name
        )
    return rows
