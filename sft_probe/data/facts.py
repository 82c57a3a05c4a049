"""Facts as texts to be continued: each with the right answer and with wrong ones of the same kind."""

from __future__ import annotations

from collections.abc import Sequence

from sft_probe.data.examples import Example
from sft_probe.data.matching import LEAST, wrong_answers
from sft_probe.data.wordings import beginnings

WORDINGS = 2  # beginnings of a fact that are read: one to judge by, one more for the error rates
AS_READ = "as_read"  # under `meta` of a row: beginnings in the very words of a text the model has read


def fact_rows(
    examples: Sequence[Example],
    *,
    distractors: int,
    wordings: int = WORDINGS,
    seed: int = 0,
    pool: Sequence[Example] = (),
) -> tuple[Example, ...]:
    """Up to `wordings` of each fact as plain text, the right answer first among the `choices`.

    `meta` holds the row's id as `fact` and the number of the `wording`; -1 is the wording as read. Rows with
    fewer than three wrong answers of the same kind, or without a question, are left out. pool: further rows
    to take wrong answers from.
    """
    rows = []
    wrong_ones = wrong_answers(examples, distractors, seed, pool=pool)
    for example, wrong in zip(examples, wrong_ones, strict=True):
        if len(wrong) < LEAST or not example.messages:
            continue
        read = example.meta.get(AS_READ, ())
        worded = list(enumerate(beginnings(example)[:wordings]))
        worded += [(-1, str(text)) for text in (read if isinstance(read, list | tuple) else ())[:1]]
        rows += [
            Example(
                id=f"{example.id}#{number}",
                target=f"{text} {example.target}",
                choices=tuple(f"{text} {answer}" for answer in (example.target, *wrong)),
                stratum=example.stratum,
                cluster=example.cluster,
                meta={"fact": example.id, "wording": number, "answers": (example.target, *wrong)},
            )
            for number, text in worded
        ]
    return tuple(rows)
