"""Prompts with their content taken out, to see which label a model leans to by itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import takewhile
from random import Random

from sft_probe.data.examples import Example, Message

FILLERS = ("N/A", "[MASK]", "")
"""What stands for the content, from Zhao et al. 2021, Calibrate Before Use (arXiv 2102.09690)."""
BAGS = 12
NO_CONTENT, NO_ORDER = "no content", "words in no order"


def content_free(
    rows: Sequence[Example], labels: Sequence[str], meta: Mapping[str, object]
) -> tuple[Example, ...]:
    """What all prompts begin and end with, around a filler, or around words drawn from the prompts.

    Words are drawn from as many rows of each label, so that they favour none; a bag has as many as the middle
    prompt. Every example has `labels` as choices, the first as target, and `meta`. Same rows, same result.
    Source of the words: Fei et al. 2023, Mitigating Label Biases for In-context Learning (arXiv 2305.19148).
    """
    contents = [_asked(row) for row in rows]
    before, after = _frame(contents)
    words = [text[len(before) : len(text) - len(after)].split() for text in contents]
    by_label = [[w for row, w in zip(rows, words, strict=True) if row.target == label] for label in labels]
    length, draw = sorted(map(len, words))[len(words) // 2], Random("content_free")
    bags = [
        " ".join(
            draw.choice(draw.choice(own) or [""]) for i in range(length) if (own := by_label[i % len(labels)])
        )
        for _ in range(BAGS)
    ]
    earlier = rows[0].messages[:-1] if len({row.messages[:-1] for row in rows}) == 1 else ()
    return tuple(
        Example(
            id=f"content-free-{i}",
            target=labels[0],
            messages=(*earlier, Message("user", before + text + after)),
            choices=tuple(labels),
            stratum=kind,
            meta=meta,
        )
        for i, (kind, text) in enumerate([(NO_CONTENT, f) for f in FILLERS] + [(NO_ORDER, b) for b in bags])
    )


def _asked(row: Example) -> str:
    return row.messages[-1].content if row.messages else ""


def _frame(texts: Sequence[str]) -> tuple[str, str]:
    """What all texts begin and end with, cut back to whole words; empty ends for a single text."""
    if len(set(texts)) < 2:
        return "", ""
    before = _beginning(texts)
    rest = [text[len(before) :][::-1] for text in texts]
    after = _beginning(rest)[::-1]
    start = max((i + 1 for i, char in enumerate(before) if char.isspace()), default=0)
    end = next((i for i, char in enumerate(after) if char.isspace()), len(after))
    return before[:start], after[end:]


def _beginning(texts: Sequence[str]) -> str:
    same = takewhile(lambda column: len(set(column)) == 1, zip(*texts, strict=False))
    return "".join(column[0] for column in same)
