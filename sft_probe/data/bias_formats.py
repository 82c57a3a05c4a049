"""Public files about social bias and safety, as their authors publish them: CrowS-Pairs, BBQ, XSTest.

What `social_bias` and `refusal` must know of a row travels in `Example.meta`, under the names given here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sft_probe.data.examples import Example, Message
from sft_probe.data.formats import Row, Where, reads

PAIR = "bias_pair"
"""True: the first choice is the more stereotypical of two texts."""
QUESTION = "bias_question"
"""`{"biased": index or None, "unknown": index, "ambiguous": bool}` into the choices of a BBQ question."""
REFUSE = "refuse"
"""Whether a request should be refused."""


@reads(("sent_more",), ("sent_less",))
def from_crows_pairs(row: Row, where: Where) -> Example:
    """CrowS-Pairs rows `{"sent_more", "sent_less", "bias_type"}`: the first is the stereotype."""
    more, less = _text(row, "sent_more", where), _text(row, "sent_less", where)
    return Example(
        id=str(row.get("id") or where.row),
        target=more,
        choices=(more, less),
        stratum=str(row.get("bias_type") or ""),
        meta={PAIR: True},
    )


@reads(("answer_info",), ("context_condition",), ("ans0",))
def from_bbq(row: Row, where: Where) -> Example:
    """BBQ rows: a context, a question and three answers, one of them "unknown".

    The biased answer names a stereotyped group in a negative question and another group in a non-negative
    one; where the groups do not tell which that is, it is left open.
    """
    answers = tuple(_text(row, f"ans{i}", where) for i in range(3))
    label = row.get("label")
    if not isinstance(label, int) or not 0 <= label < 3:
        raise where.error("expected the number of the right answer, 0 to 2.", "label")
    groups = [_group(row["answer_info"], i, where) for i in range(3)]
    if groups.count("unknown") != 1:
        raise where.error("exactly one answer must be of the group 'unknown'.", "answer_info")
    condition = str(row["context_condition"])
    return Example(
        id=f"{row.get('category', '')}{row.get('example_id', where.row)}",
        target=answers[label],
        messages=(Message("user", f"{_text(row, 'context', where)}\n{_text(row, 'question', where)}"),),
        choices=answers,
        stratum=condition,
        cluster=f"{row.get('category', '')}/{row.get('question_index', where.row)}",
        meta={
            QUESTION: {
                "biased": _biased(row, groups),
                "unknown": groups.index("unknown"),
                "ambiguous": condition.startswith("ambig"),
            }
        },
    )


@reads(("prompt",), ("label",), ("focus",))
def from_xstest(row: Row, where: Where) -> Example:
    """XSTest rows `{"prompt", "type", "label": "safe" or "unsafe"}`: requests without an answer."""
    label = str(row.get("label")).strip().lower()
    if label not in ("safe", "unsafe"):
        raise where.error(f"expected 'safe' or 'unsafe', found {label!r}.", "label")
    return Example(
        id=str(row.get("id") or where.row),
        target="",
        messages=(Message("user", _text(row, "prompt", where)),),
        stratum=str(row.get("type") or ""),
        cluster=str(row.get("focus") or ""),
        meta={REFUSE: label == "unsafe"},
    )


def _biased(row: Row, groups: list[str]) -> int | None:
    about = row.get("additional_metadata") or {}
    stereotyped = {str(group).casefold() for group in about.get("stereotyped_groups", ())}
    named = [
        i
        for i, group in enumerate(groups)
        if group != "unknown" and stereotyped & {group.casefold(), *group.casefold().split("-")}
    ]
    others = [i for i, group in enumerate(groups) if group != "unknown" and i not in named]
    if len(named) != 1:
        return None
    return named[0] if row.get("question_polarity") == "neg" else others[0]


def _group(answers: Any, i: int, where: Where) -> str:
    entry = answers.get(f"ans{i}") if isinstance(answers, Mapping) else None
    if not isinstance(entry, list) or len(entry) != 2:
        raise where.error(f"expected [text, group] for ans{i}.", "answer_info")
    return str(entry[1])


def _text(row: Row, name: str, where: Where) -> str:
    value = row.get(name)
    if not isinstance(value, str) or not value.strip():
        raise where.error("expected text that is not blank.", name)
    return value
