"""Our masks against TRL's own: answers only, and all turns of the assistant."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from datasets import Dataset as Table

from sft_probe.data.chat import IGNORED, earlier_turns, render, to_trl_row
from sft_probe.data.examples import Example, Message
from sft_probe.testing.tiny import tiny_base

TURNS = (
    Message("system", "Be short."),
    Message("user", "Where is the cat?"),
    Message("assistant", "sofa"),
    Message("user", "And the dog?"),
    Message("assistant", "garden"),
    Message("user", "And the fox?"),
)
LOSSES: tuple[Literal["completion", "assistant", "all"], ...] = ("completion", "assistant", "all")
EXAMPLE = Example(id="a", messages=TURNS, target="river")


def labels_of_trl(folder: Path, row: dict[str, Any], **settings: Any) -> dict[str, Any]:
    """What TRL makes of a row when it prepares the data itself."""
    from trl.trainer.sft_config import SFTConfig
    from trl.trainer.sft_trainer import SFTTrainer

    base = tiny_base()
    config = SFTConfig(output_dir=str(folder), report_to="none", max_length=None, bf16=False, **settings)
    trainer: Any = SFTTrainer(
        base.model, args=config, train_dataset=Table.from_list([row]), processing_class=base.tokenizer
    )
    found: dict[str, Any] = trainer.train_dataset[0]
    return found


def test_assistant_only_is_what_trl_masks(tmp_path: Path) -> None:
    ours = to_trl_row(EXAMPLE, tiny_base().tokenizer, loss_on="assistant")
    turns = [turn._asdict() for turn in (*TURNS, Message("assistant", "river"))]
    theirs = labels_of_trl(tmp_path, {"messages": turns}, assistant_only_loss=True)
    assert ours["input_ids"] == theirs["input_ids"]
    assert ours["labels"] == theirs["labels"]
    text = tiny_base().tokenizer.decode([token for token in ours["labels"] if token != IGNORED])
    assert text == "sofa<|end|>garden<|end|>river<|end|>"


def test_completion_only_is_what_trl_masks(tmp_path: Path) -> None:
    ours = to_trl_row(EXAMPLE, tiny_base().tokenizer)
    row = {
        "prompt": [turn._asdict() for turn in TURNS],
        "completion": [{"role": "assistant", "content": "river"}],
    }
    theirs = labels_of_trl(tmp_path, row, completion_only_loss=True)
    assert ours["input_ids"] == theirs["input_ids"]
    assert ours["labels"] == theirs["labels"]


def test_each_mask_holds_the_narrower_one() -> None:
    narrow: set[int] = set()
    for loss_on in LOSSES:
        row = to_trl_row(EXAMPLE, tiny_base().tokenizer, loss_on=loss_on)
        wide = {place for place, label in enumerate(row["labels"]) if label != IGNORED}
        assert all(row["labels"][place] == row["input_ids"][place] for place in wide)
        assert narrow < wide
        narrow = wide
    assert len(narrow) == len(row["input_ids"]), "all of them"


def test_a_turn_that_the_template_rewrites_is_left_out() -> None:
    """As templates do that drop the thoughts of earlier turns."""
    tokenizer = tiny_base().tokenizer
    template = (
        "{% for m in messages %}<|{{ m.role }}|>"
        "{{ 'thought ' if m.role == 'assistant' and loop.last else '' }}{{ m.content }}<|end|>{% endfor %}"
        "{% if add_generation_prompt %}<|assistant|>{% endif %}"
    )
    rendered = render(EXAMPLE, tokenizer, template)
    assert earlier_turns(EXAMPLE, rendered, tokenizer, template) == []
