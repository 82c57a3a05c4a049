"""Each finding appears for the rows made for it, and for no others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sft_probe.data.audit import RULES, Finding, audit, normalise
from sft_probe.data.chat import ensure_chat_template
from sft_probe.data.examples import Dataset, Example, Message
from sft_probe.testing.tiny import tiny_tokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase as Tokenizer


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return tiny_tokenizer()


def asked(question: str, answer: str) -> Example:
    return Example(id=question, messages=(Message("user", question),), target=answer)


CLEAN = [asked(f"Where is number {i}?", f"place {i}") for i in range(8)]
TEST = [asked("Where is the cat?", "on the sofa")]


def findings(
    tokenizer: Tokenizer, *train: Example, test: list[Example] = TEST, max_length: int = 256
) -> dict[str, Finding]:
    rows = Dataset("train", (*CLEAN, *train))
    return {f.code: f for f in audit(rows, Dataset("test", tuple(test)), tokenizer, max_length)}


def test_clean_rows_have_no_findings(tokenizer: Tokenizer) -> None:
    assert findings(tokenizer) == {}


@pytest.mark.parametrize(
    ("code", "rows"),
    [
        ("empty_answer", [asked("Who?", "  ")]),
        ("empty_mask", [asked("Who " * 300, "me")]),
        ("truncated", [asked("Who?", "me " * 300)]),
        ("template_mismatch", [asked("### Instruction:\nWho?\n\n### Response:\n", "me")]),
        ("duplicate_rows", [asked("Who?", "me"), asked("Who?", "me")]),
        ("conflicting_labels", [asked("Who?", "me"), asked("Who?", "you")]),
        ("overlap_exact", [asked("Where is the cat?", "on the sofa")]),
        ("overlap_normalised", [asked("where is  the CAT", "on the sofa")]),
    ],
)
def test_a_finding_counts_its_rows(code: str, rows: list[Example], tokenizer: Tokenizer) -> None:
    found = findings(tokenizer, *rows)
    assert code in found
    total = len(TEST) if code.startswith("overlap") else len(CLEAN) + len(rows)
    count = len(TEST) if code.startswith("overlap") else len(rows)
    finding = found[code]
    assert (finding.count, finding.share) == (count, count / total)
    assert finding.severity == RULES[code].severity
    assert f"{count} of {total}" in finding.message
    assert finding.examples[0] in finding.message


def test_special_tokens_in_text(tokenizer: Tokenizer) -> None:
    found = findings(tokenizer, asked(f"Who{tokenizer.eos_token}?", "me"))
    assert found["special_tokens"].count == 1


def test_mostly_cut_rows_are_an_error(tokenizer: Tokenizer) -> None:
    longest = max(len(tokenizer(f"{e.prompt} {e.target}")["input_ids"]) for e in CLEAN)
    found = findings(tokenizer, max_length=longest)
    assert found["mostly_truncated"].severity == "error"
    assert "truncated" not in found


def test_a_test_row_without_answer_is_found_too(tokenizer: Tokenizer) -> None:
    found = findings(tokenizer, test=[asked("Who?", "")])
    assert "1 of 1 test rows" in found["empty_answer"].message


def test_templates_that_need_repair_are_told(tokenizer: Tokenizer) -> None:
    own = tiny_tokenizer()
    own.chat_template = "{% for m in messages %}{{ m.content }} {% endfor %}"
    assert "missing_eos" in findings(own)
    own.chat_template = (
        "{% for m in messages %}{{ m.content }}{% endfor %}{% if add_generation_prompt %}>{% endif %}"
    )
    assert "template_prefix" in findings(own)
    own.chat_template = None
    ensure_chat_template(own)
    assert findings(own)["fallback_template"].severity == "info"


def test_unknown_characters_are_told() -> None:
    from tokenizers import Tokenizer as Words
    from tokenizers import models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = ["<unk>", "</s>", "place", "Where", "is", *"0123456789?", "number"]
    plain = Words(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>"))
    plain.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=plain, unk_token="<unk>", eos_token="</s>")
    found = findings(tokenizer, asked("Where?", "猫"))
    assert (found["unknown_tokens"].count, found["unknown_tokens"].examples) == (1, ("Where?",))


def test_few_answers_are_shown_as_labels(tokenizer: Tokenizer) -> None:
    rows = [asked(f"Review {i}", "good" if i % 4 else "bad") for i in range(12)]
    [finding] = audit(Dataset("train", tuple(rows)), Dataset("test", tuple(TEST)), tokenizer, 256)
    assert finding.code == "label_histogram"
    assert "'good' 9, 'bad' 3" in finding.message
    assert "75.0%" in finding.message


def test_errors_come_first(tokenizer: Tokenizer) -> None:
    found = findings(tokenizer, asked("Who?", "me"), asked("Who?", "me"), asked("Why?", ""))
    assert list(found) == ["empty_answer", "duplicate_rows"]


def test_normalising_keeps_what_changes_the_meaning() -> None:
    assert normalise("  Where is\nthe CAT? ") == normalise("where is the cat") == "where is the cat"
    assert normalise("1 + 2") != normalise("1 - 2")
    assert normalise("ﬁne") == "fine"


def test_rewritten_turns_are_counted_where_they_shall_bear_loss(
    tokenizer: Tokenizer,
) -> None:
    other = tiny_tokenizer()
    other.chat_template = (
        "{% for m in messages %}<|{{ m.role }}|>"
        "{{ 'thought ' if m.role == 'assistant' and loop.last else '' }}{{ m.content }}<|end|>{% endfor %}"
        "{% if add_generation_prompt %}<|assistant|>{% endif %}"
    )
    turns = (Message("user", "Where?"), Message("assistant", "there"), Message("user", "Who?"))
    rows = Dataset("train", (*CLEAN, Example(id="long", messages=turns, target="me")))
    tests = Dataset("test", tuple(TEST))
    for known, all_turns, counted in ((other, True, 1), (other, False, 0), (tokenizer, True, 0)):
        found = audit(rows, tests, known, 256, all_turns=all_turns)
        assert sum(f.count for f in found if f.code == "turn_rewritten") == counted
