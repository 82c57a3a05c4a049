"""Which tokens are the prompt and which the answer, over templates and tokenizers of many kinds."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from sft_probe.data.chat import (
    IGNORED,
    ensure_chat_template,
    fallback_template,
    render,
    stop_token_ids,
    to_trl_row,
)
from sft_probe.data.examples import Example, Message
from sft_probe.errors import DataError, ModelError
from sft_probe.testing.tiny import tiny_tokenizer

if TYPE_CHECKING:
    from pathlib import Path

    from transformers import PreTrainedTokenizerBase as Tokenizer

    from sft_probe.data.chat import Rendered

ASKED = Example(id="1", messages=(Message("user", "Where is the cat?"),), target="on the sofa")

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
WITH_SYSTEM = (
    "{% if messages[0].role != 'system' %}<|im_start|>system\nBe brief.<|im_end|>\n{% endif %}" + CHATML
)
WITHOUT_GENERATION_PROMPT = CHATML.partition("{% if add_generation_prompt")[0]
LLAMA_2 = (
    "{% for m in messages %}{% if m.role == 'user' %}[INST] {{ m.content }} [/INST]"
    "{% else %} {{ m.content }} {{ eos_token }}{% endif %}{% endfor %}"
)
THINKING = (  # the prompt opens with a thought that the finished conversation leaves out
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n<think>{% endif %}"
)
UNCLOSED = (
    "{% for m in messages %}[{{ m.role }}] {{ m.content }} {% endfor %}"
    "{% if add_generation_prompt %}[assistant] {% endif %}"
)


@pytest.fixture
def tokenizer() -> Tokenizer:
    tokenizer = tiny_tokenizer()
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<|im_end|>"]})
    return tokenizer


def texts(tokenizer: Tokenizer, rendered: Rendered) -> tuple[str, str]:
    return tokenizer.decode(rendered.prompt_ids), tokenizer.decode(rendered.target_ids)


@pytest.mark.parametrize(
    ("template", "prompt", "target", "note"),
    [
        (
            CHATML,
            "<|im_start|>user\nWhere is the cat?<|im_end|>\n<|im_start|>assistant\n",
            "on the sofa<|im_end|>",
            "",
        ),
        (
            WITH_SYSTEM,
            "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nWhere is the cat?<|im_end|>\n"
            "<|im_start|>assistant\n",
            "on the sofa<|im_end|>",
            "",
        ),
        (
            WITHOUT_GENERATION_PROMPT,
            "<|im_start|>user\nWhere is the cat?<|im_end|>\n<|im_start|>assistant\n",
            "on the sofa<|im_end|>",
            "",
        ),
        (LLAMA_2, "[INST] Where is the cat? [/INST]", " on the sofa {eos}", ""),
        (
            THINKING,
            "<|im_start|>user\nWhere is the cat?<|im_end|><|im_start|>assistant\n<think>",
            "on the sofa{eos}",
            "template_prefix",
        ),
        (UNCLOSED, "[user] Where is the cat? [assistant] ", "on the sofa{eos}", "missing_eos"),
    ],
    ids=["chatml", "system", "no generation prompt", "llama 2", "thinking", "unclosed"],
)
def test_prompt_and_answer_are_told_apart(
    tokenizer: Tokenizer, template: str, prompt: str, target: str, note: str
) -> None:
    rendered = render(ASKED, tokenizer, template)
    expected = (prompt, target.format(eos=tokenizer.eos_token))
    assert (texts(tokenizer, rendered), rendered.note) == (expected, note)
    assert rendered.target_ids[-1] in stop_token_ids(tokenizer, template)


def test_the_system_prompt_is_no_answer_and_earlier_answers_are_prompt(tokenizer: Tokenizer) -> None:
    turns = (
        Message("system", "Rhyme."),
        Message("user", "a"),
        Message("assistant", "b"),
        Message("user", "c"),
    )
    prompt, target = texts(tokenizer, render(Example(id="1", messages=turns, target="d"), tokenizer, CHATML))
    assert "Rhyme." in prompt
    assert "assistant\nb<|im_end|>" in prompt
    assert target == "d<|im_end|>"


def test_prompt_and_answer_that_share_a_token_are_tokenised_apart(tokenizer: Tokenizer) -> None:
    glued = "{% for m in messages %}{{ m.content }}{% endfor %}"  # "the" + " cat" is one token together
    apart = Example(id="1", messages=(Message("user", "on th"),), target="e sofa")
    rendered = render(apart, tokenizer, glued)
    whole = tokenizer("on the sofa", add_special_tokens=False)["input_ids"]
    assert whole[: len(rendered.prompt_ids)] != rendered.prompt_ids, "the case does not test what it should"
    assert texts(tokenizer, rendered) == ("on th", f"e sofa{tokenizer.eos_token}")


def test_plain_text_is_all_answer_behind_one_token(tokenizer: Tokenizer) -> None:
    rendered = render(Example(id="1", target="The cat is on the sofa."), tokenizer)
    assert len(rendered.prompt_ids) == 1
    assert tokenizer.decode(rendered.target_ids) == f"The cat is on the sofa.{tokenizer.eos_token}"


def test_stop_tokens_are_the_end_of_text_and_of_turn(tokenizer: Tokenizer) -> None:
    end_of_turn = tokenizer.convert_tokens_to_ids("<|im_end|>")
    assert stop_token_ids(tokenizer, CHATML) == (tokenizer.eos_token_id, end_of_turn)
    assert stop_token_ids(tokenizer, UNCLOSED) == (tokenizer.eos_token_id,)


def test_labels_cover_the_answer_only(tokenizer: Tokenizer) -> None:
    row, rendered = to_trl_row(ASKED, tokenizer, chat_template=CHATML), render(ASKED, tokenizer, CHATML)
    prompt = len(rendered.prompt_ids)
    assert row["input_ids"] == rendered.prompt_ids + rendered.target_ids
    assert row["labels"] == [IGNORED] * prompt + rendered.target_ids
    everywhere = to_trl_row(ASKED, tokenizer, chat_template=CHATML, loss_on="all")
    assert everywhere["labels"] == everywhere["input_ids"]


def test_rows_are_cut_at_the_end(tokenizer: Tokenizer) -> None:
    whole, cut = to_trl_row(ASKED, tokenizer), to_trl_row(ASKED, tokenizer, max_length=9)
    assert cut == {key: ids[:9] for key, ids in whole.items()}


def test_the_trainer_takes_rows_as_they_are(tokenizer: Tokenizer) -> None:
    """TRL pads `labels` with -100 and keeps them; without the column it would train on every token."""
    from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

    short = to_trl_row(Example(id="2", target="cat"), tokenizer)
    long = to_trl_row(ASKED, tokenizer)
    batch = DataCollatorForLanguageModeling(pad_token_id=0)([long, short])
    assert batch["labels"][0].tolist() == long["labels"]
    padded = batch["labels"][1].tolist()
    assert padded == short["labels"] + [IGNORED] * (len(padded) - len(short["labels"]))


def test_a_tokenizer_without_template_gets_the_plain_one(tokenizer: Tokenizer) -> None:
    tokenizer.chat_template = None
    before = render(ASKED, tokenizer)
    assert ensure_chat_template(tokenizer)
    assert not ensure_chat_template(tokenizer), "a second call finds a template"
    assert render(ASKED, tokenizer) == before
    prompt, target = texts(tokenizer, before)
    assert prompt.endswith("### Instruction:\nWhere is the cat?\n\n### Response:\n")
    assert target == f"on the sofa{tokenizer.eos_token}"


def test_the_plain_template_begins_as_the_tokenizer_does(tokenizer: Tokenizer) -> None:
    from tokenizers.processors import TemplateProcessing

    assert "bos_token" not in fallback_template(tokenizer)
    bos = tokenizer.bos_token or tokenizer.eos_token
    tokenizer.bos_token = bos
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single=f"{bos} $A", special_tokens=[(bos, tokenizer.bos_token_id)]
    )
    tokenizer.chat_template = None
    ids = render(ASKED, tokenizer).prompt_ids
    assert ids[0] == tokenizer.bos_token_id
    assert ids.count(tokenizer.bos_token_id) == 1


def test_markers_of_the_plain_template_agree_with_the_prefix_difference(tokenizer: Tokenizer) -> None:
    tokenizer.chat_template = None
    ensure_chat_template(tokenizer)
    turns = [
        {"role": "user", "content": "Where is the cat?"},
        {"role": "assistant", "content": "on the sofa"},
    ]
    marked = tokenizer.apply_chat_template(
        turns, return_dict=True, return_assistant_tokens_mask=True, tokenize=True
    )
    said = [t for t, inside in zip(marked["input_ids"], marked["assistant_masks"], strict=True) if inside]
    assert said == render(ASKED, tokenizer).target_ids


def test_a_template_may_be_a_file(tokenizer: Tokenizer, tmp_path: Path) -> None:
    path = tmp_path / "chat.jinja"
    path.write_text(CHATML)
    assert ensure_chat_template(tokenizer, str(path))
    assert tokenizer.chat_template == CHATML
    with pytest.raises(ModelError, match="neither Jinja text nor an existing file"):
        ensure_chat_template(tokenizer, str(tmp_path / "other.jinja"))


def test_a_template_that_refuses_a_row_names_it(tokenizer: Tokenizer) -> None:
    strict = "{% if messages[0].role != 'user' %}{{ raise_exception('no user') }}{% endif %}" + CHATML
    row = Example(id="r7", messages=(Message("assistant", "x"), Message("user", "y")), target="z")
    with pytest.raises(DataError, match=r"'r7'.*no user"):
        render(row, tokenizer, strict)


def test_a_system_message_that_the_template_refuses_heads_the_users_turn(tokenizer: Tokenizer) -> None:
    strict = "{% if messages[0].role == 'system' %}{{ raise_exception('no system') }}{% endif %}" + CHATML
    row = Example(id="r8", messages=(Message("system", "x"), Message("user", "y")), target="z")
    plain = Example(id="r8", messages=(Message("user", "x\n\ny"),), target="z")
    assert render(row, tokenizer, strict) == replace(render(plain, tokenizer, strict), note="system_folded")
    assert render(row, tokenizer, CHATML).note == ""


def test_a_tokenizer_without_end_is_refused(tokenizer: Tokenizer) -> None:
    tokenizer.eos_token = None
    with pytest.raises(ModelError, match="no end-of-text token"):
        render(Example(id="1", target="x"), tokenizer)
