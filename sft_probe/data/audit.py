"""What is wrong with the data, said before any compute is spent."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

from sft_probe.data.chat import Rendered, earlier_turns, fallback_template, render
from sft_probe.data.examples import Dataset, Example

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Severity = Literal["error", "warning", "info"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something about the data that a user should know; an error stops a run unless it is allowed by code.

    count, share: rows concerned, and their share of the rows looked at. examples: ids of the first of them.
    """

    code: str
    severity: Severity
    message: str
    count: int = 0
    share: float = 0.0
    examples: tuple[str, ...] = ()


class Rule(NamedTuple):
    """What is said about rows that a check has found: how bad it is, what they do, and what helps."""

    severity: Severity
    what: str
    remedy: str = ""


RULES = {
    "empty_answer": Rule(
        "error",
        "have an empty answer, so there is nothing to learn or to compare.",
        "Remove or complete them.",
    ),
    "empty_mask": Rule(
        "error",
        "lose their whole answer at {max_length} tokens and would be trained on nothing.",
        "Raise data.max_length (the longest row has {longest} tokens) or remove them.",
    ),
    "mostly_truncated": Rule(
        "error",
        "are cut at {max_length} tokens, so most answers would never end in training.",
        "Raise data.max_length (the longest row has {longest} tokens) or shorten them.",
    ),
    "truncated": Rule(
        "warning",
        "are cut at {max_length} tokens and lose the end of their answer.",
        "Raise data.max_length (the longest row has {longest} tokens) or shorten them.",
    ),
    "overlap_exact": Rule(
        "error",
        "stand word for word among the training rows, so the test would measure memory.",
        "Remove them from one of the two.",
    ),
    "overlap_normalised": Rule(
        "warning",
        "ask what a training row asks, but for case, white space, punctuation or the answer.",
        "Remove them from one of the two, or split by entity.",
    ),
    "template_prefix": Rule(
        "warning",
        "have a prompt that the chat template changes once the answer is there, so the answer was set "
        "behind the prompt as plain text.",
        "Give a template as data.chat_template that writes the prompt alike with and without an answer.",
    ),
    "template_mismatch": Rule(
        "warning",
        "hold turn markers such as '### Instruction:' in their text, which the chat template adds again.",
        "Give the bare question and answer.",
    ),
    "turn_rewritten": Rule(
        "warning",
        "have earlier turns of the assistant that the chat template writes otherwise once more turns follow, "
        "so these bear no loss.",
        "Train on the answer only (loss_on: completion), or give a template that leaves turns as they are.",
    ),
    "missing_eos": Rule(
        "warning",
        "are not closed by the chat template, so an end-of-text token was added.",
        "Let the template end the assistant's turn with eos_token.",
    ),
    "special_tokens": Rule(
        "warning",
        "hold the text of a special token, which is read as that token and not as text.",
        "Remove it from the rows.",
    ),
    "unknown_tokens": Rule(
        "warning",
        "have an answer with characters that the tokenizer does not know; the model learns to say "
        "'{unknown}' there.",
        "Take a base with a fitting vocabulary, or replace the characters.",
    ),
    "duplicate_rows": Rule(
        "warning", "stand there more than once.", "Remove them unless the weight is meant."
    ),
    "conflicting_labels": Rule(
        "warning", "ask the same as another row and expect another answer.", "Keep one answer per question."
    ),
    "token_boundary": Rule(
        "info", "share a token between prompt and answer; both were tokenised apart, as in generation."
    ),
    "system_folded": Rule(
        "info",
        "have a system message, which the chat template refuses; it stands at the head of the user's turn.",
    ),
    "fallback_template": Rule(
        "info",
        "are put into the plain '### Instruction:' template, because the tokenizer has none.",
        "Give the model's own template as data.chat_template if it has one.",
    ),
}

MOSTLY = 0.5
CLOSED_SET = 20  # so many different answers at most are read as labels
LABELS_SHOWN = 8
TURN_MARKERS = re.compile(
    r"###? ?(Instruction|Response|Human|Assistant):|<\|(im_start|user|assistant|system|eot_id)\|>"
    r"|\[/?INST\]|<start_of_turn>|^(Human|Assistant):",
    re.MULTILINE,
)

Hits = Iterator[tuple[str, Dataset, list[Example]]]


def audit(
    train: Dataset,
    test: Dataset,
    tokenizer: PreTrainedTokenizerBase,
    max_length: int,
    *,
    all_turns: bool = False,
) -> tuple[Finding, ...]:
    """Findings about training and test rows, errors first; none for a check that finds nothing.

    max_length: tokens after which a training row is cut. all_turns: earlier turns of the assistant shall
    bear loss too.
    Raises: DataError if the chat template refuses a row.
    """
    rendered = [render(example, tokenizer) for example in train]
    facts = {
        "max_length": max_length,
        "longest": max((_size(r) for r in rendered), default=0),
        "unknown": tokenizer.unk_token,
    }
    checks = (
        _answers(train, test),
        _lengths(train, rendered, max_length),
        _templates(train, rendered, tokenizer),
        _tokens(train, rendered, tokenizer),
        _turns(train, rendered, tokenizer) if all_turns else iter(()),
        _repeats(train),
        _overlap(train, test),
    )
    found = [_finding(code, data, rows, facts) for hits in checks for code, data, rows in hits if rows]
    order: Sequence[Severity] = ("error", "warning", "info")
    return tuple(sorted([*found, *_labels(train)], key=lambda finding: order.index(finding.severity)))


def normalise(text: str) -> str:
    """Text without case, punctuation and surplus white space, for finding near repetitions.

    Symbols, digits and minus signs stay, so that `1 + 2` and `1 - 2` remain different.
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    kept = (" " if unicodedata.category(c).startswith("P") and c != "-" else c for c in folded)
    return " ".join("".join(kept).split())


def _answers(train: Dataset, test: Dataset) -> Hits:
    for data in (train, test):
        yield "empty_answer", data, [e for e in data if not e.target.strip()]


def _lengths(train: Dataset, rendered: Sequence[Rendered], max_length: int) -> Hits:
    pairs = list(zip(train, rendered, strict=True))
    cut = [e for e, r in pairs if _size(r) > max_length]
    yield "empty_mask", train, [e for e, r in pairs if len(r.prompt_ids) >= max_length]
    yield "mostly_truncated" if len(cut) > MOSTLY * len(train) else "truncated", train, cut


def _templates(train: Dataset, rendered: Sequence[Rendered], tokenizer: PreTrainedTokenizerBase) -> Hits:
    for note in ("template_prefix", "missing_eos", "token_boundary", "system_folded"):
        yield note, train, [e for e, r in zip(train, rendered, strict=True) if r.note == note]
    chats = [e for e in train if e.messages]
    if tokenizer.chat_template in (None, fallback_template(tokenizer)):
        yield "fallback_template", train, chats
    yield "template_mismatch", train, [e for e in chats if any(map(TURN_MARKERS.search, _texts(e)))]


def _tokens(train: Dataset, rendered: Sequence[Rendered], tokenizer: PreTrainedTokenizerBase) -> Hits:
    special = [token for token in tokenizer.all_special_tokens if len(token) > 1]
    yield "special_tokens", train, [e for e in train if any(t in text for text in _texts(e) for t in special)]
    unknown = tokenizer.unk_token_id
    if unknown not in (None, tokenizer.eos_token_id, tokenizer.bos_token_id):
        pairs = zip(train, rendered, strict=True)
        yield "unknown_tokens", train, [e for e, r in pairs if unknown in r.target_ids]


def _turns(train: Dataset, rendered: Sequence[Rendered], tokenizer: PreTrainedTokenizerBase) -> Hits:
    def lost(example: Example, own: Rendered) -> bool:
        turns = sum(message.role == "assistant" for message in example.messages[1:])
        return turns > len(earlier_turns(example, own, tokenizer))

    yield "turn_rewritten", train, [e for e, r in zip(train, rendered, strict=True) if lost(e, r)]


def _repeats(train: Dataset) -> Hits:
    seen = Counter(map(_texts, train))
    yield "duplicate_rows", train, [e for e in train if seen[_texts(e)] > 1]
    answers = defaultdict[Hashable, set[str]](set)
    for example in train:
        answers[example.messages].add(example.target.strip())
    yield "conflicting_labels", train, [e for e in train if e.messages and len(answers[e.messages]) > 1]


def _overlap(train: Dataset, test: Dataset) -> Hits:
    exact = _seen_in(train, test, _texts)
    known = {example.id for example in exact}
    alike = _seen_in(train, test, lambda e: normalise(e.prompt or e.target))
    yield "overlap_exact", test, exact
    yield "overlap_normalised", test, [e for e in alike if e.id not in known]


def _labels(train: Dataset) -> list[Finding]:
    """The histogram of answers, where these are few enough to be labels."""
    counts = Counter(e.target.strip() for e in train if e.messages)
    rows = counts.total()
    if not counts or len(counts) > min(CLOSED_SET, rows // 2):
        return []
    shown = ", ".join(f"{label[:30]!r} {n}" for label, n in counts.most_common(LABELS_SHOWN))
    more = f" and {len(counts) - LABELS_SHOWN} more" if len(counts) > LABELS_SHOWN else ""
    [(top, most)] = counts.most_common(1)
    message = (
        f"{train.name} has {len(counts)} different answers: {shown}{more}. "
        f"Always saying {top[:30]!r} would be right in {most / rows:.1%} of the rows."
    )
    return [
        Finding(code="label_histogram", severity="info", message=message, count=rows, share=rows / len(train))
    ]


def _finding(code: str, data: Dataset, rows: Iterable[Example], facts: dict[str, object]) -> Finding:
    """A finding about some rows of a data set: how many, which ones first, what they do, what helps."""
    rule = RULES[code]
    ids = sorted((example.id for example in rows), key=lambda i: i.zfill(12) if i.isdigit() else i)
    share = len(ids) / len(data)
    first = ", ".join(ids[:3]) + (", …" if len(ids) > 3 else "")
    said = f"{rule.what} {rule.remedy}".strip().format_map(facts)
    return Finding(
        code=code,
        severity=rule.severity,
        message=f"{len(ids)} of {len(data)} {data.name} rows ({share:.1%}: {first}) {said}",
        count=len(ids),
        share=share,
        examples=tuple(ids[:10]),
    )


def _seen_in(train: Dataset, test: Dataset, key: Callable[[Example], Hashable]) -> list[Example]:
    seen = set(map(key, train))
    return [example for example in test if key(example) in seen]


def _texts(example: Example) -> tuple[str, ...]:
    return (*(message.content for message in example.messages), example.target)


def _size(rendered: Rendered) -> int:
    return len(rendered.prompt_ids) + len(rendered.target_ids)
