"""Preferred and rejected answers, read from the shapes that TRL documents and tokenised as by TRL."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset as Table
from trl.trainer.dpo_config import DPOConfig
from trl.trainer.dpo_trainer import DPOTrainer

from sft_probe.data.examples import Dataset, Example, Message
from sft_probe.data.formats import Where, choose
from sft_probe.data.preferences import judged_rows, paired_rows, rejected_in, with_mismatched
from sft_probe.errors import DataError
from sft_probe.models.load import fresh_copy
from sft_probe.testing.tiny import tiny_base, tiny_data, tiny_tokenizer

WHERE = Where("rows.jsonl", 7)
ASKED, GOOD, BAD = "Where is the cat?", "on the sofa", "in the river"
USER = {"role": "user", "content": ASKED}
PAIR = Example(
    id="7", messages=(Message("user", ASKED),), target=GOOD, choices=(GOOD, BAD), meta={"rejected": BAD}
)


def said(answer: str) -> list[dict[str, str]]:
    return [{"role": "assistant", "content": answer}]


def read(row: dict[str, Any]) -> Example:
    return choose("auto", [row], WHERE.file)(row, WHERE)


def pairs(n: int = 6) -> Dataset:
    rows = (replace(e, meta={"rejected": "somewhere else"}) for e in tiny_data(n)["test"])
    return Dataset("pairs", tuple(rows), "pairs.jsonl")


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": ASKED, "chosen": GOOD, "rejected": BAD},
        {"prompt": [USER], "chosen": said(GOOD), "rejected": said(BAD)},
        {"chosen": [USER, *said(GOOD)], "rejected": [USER, *said(BAD)]},
        {"question": ASKED, "prompt": ASKED, "chosen": GOOD, "rejected": BAD, "score": 3},
    ],
)
def test_pairs_of_every_shape_are_one_example(row: dict[str, Any]) -> None:
    assert read(row) == PAIR


def test_judged_answers_are_told_from_answers_with_a_label() -> None:
    row = {"prompt": ASKED, "completion": GOOD}
    assert read({**row, "label": False}).meta == {"desirable": False}
    assert read({**row, "label": "positive"}).meta == {}


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ({"chosen": GOOD, "rejected": BAD}, "row 7, field 'prompt'"),
        ({"prompt": ASKED, "chosen": GOOD, "rejected": GOOD}, "row 7, field 'rejected'.*the same"),
        (
            {"chosen": [USER, *said(GOOD)], "rejected": [{**USER, "content": "Why?"}, *said(BAD)]},
            "row 7, field 'rejected'.*not to the same prompt",
        ),
    ],
)
def test_what_is_no_pair_is_named(row: dict[str, Any], sentence: str) -> None:
    with pytest.raises(DataError, match=sentence):
        read(row)


def test_pairs_are_tokenised_as_trl_does_it(tmp_path: Path) -> None:
    base, data = tiny_base(), pairs()
    rows = [
        {
            "prompt": [m._asdict() for m in e.messages],
            "chosen": said(e.target),
            "rejected": said("somewhere else"),
        }
        for e in data
    ]
    arguments = DPOConfig(output_dir=str(tmp_path), report_to="none", bf16=False)
    trainer = DPOTrainer(
        fresh_copy(base),
        ref_model=base.model,
        args=arguments,
        train_dataset=Table.from_list(rows),
        processing_class=base.tokenizer,
    )
    names = ("prompt_ids", "chosen_ids", "rejected_ids")
    assert [{name: row[name] for name in names} for row in trainer.train_dataset] == paired_rows(
        data, base.tokenizer, None
    )


def test_answers_are_cut_with_their_prompt_and_pairs_that_then_agree_left_out() -> None:
    tokenizer = tiny_tokenizer()
    [whole] = paired_rows(Dataset("p", (PAIR,)), tokenizer, None)
    length = len(whole["prompt_ids"])
    [cut] = paired_rows(Dataset("p", (PAIR,)), tokenizer, length + 1)
    assert cut == {name: ids[:1] if name != "prompt_ids" else ids for name, ids in whole.items()}
    with pytest.raises(DataError, match="no answer is left"):
        paired_rows(Dataset("p", (PAIR,)), tokenizer, length)


def test_a_pair_is_a_desirable_and_an_undesirable_answer() -> None:
    tokenizer, data = tiny_tokenizer(), pairs(3)
    judged = judged_rows(data, tokenizer, None)
    assert [row["label"] for row in judged] == [True, False] * 3
    for pair, good, bad in zip(paired_rows(data, tokenizer, None), judged[::2], judged[1::2], strict=True):
        assert (good["completion_ids"], bad["completion_ids"]) == (pair["chosen_ids"], pair["rejected_ids"])
    with pytest.raises(DataError, match=r"pairs.jsonl.*'q0' has no label"):
        judged_rows(replace(data, examples=tiny_data(3)["test"].examples), tokenizer, None)
    with pytest.raises(DataError, match="field 'rejected'"):
        rejected_in(tiny_data(3)["test"].examples[0], data)


def test_answers_to_other_prompts_stay_within_their_batch() -> None:
    rows = [{"completion_ids": [i]} for i in range(5)]
    found = [row["KL_completion_ids"] for row in with_mismatched(rows, 2)]
    assert found == [[1], [0], [3], [2], [4]]
