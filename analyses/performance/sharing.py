"""Choices that share a context, read in three ways: in one packed row, behind a cache, each for itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice

import numpy as np
from torch import nn

from analyses.performance.against_hflm import VERSIONS, Material, materials
from analyses.performance.bench import Result, Row, Settings, race, speedup
from sft_probe.observe.lending import lend
from sft_probe.observe.passages import Budget
from sft_probe.observe.scoring import Question, TokenScores, score
from sft_probe.observe.trees import packs, score_together

ITEMS, CHOICES = 24, 4
CONTEXT = 60  # tokens
SHOTS = 100  # tokens that stand before every context in the second case
APART = 5  # the other choices of a question are the right ones of questions so far away
CASES = ((0, 2), (0, 8), (SHOTS, 2))  # tokens before every context, words of a choice
NATS = 1e-4

Scores = list[list[TokenScores]]


def run(settings: Settings) -> Result:
    """Scoring alone, in token ids: no tokenisation, no lm-eval."""
    return Result(
        name="sharing",
        question="Which way of sharing a context among its choices is the fastest?",
        goal="none; the fastest one is used",
        rows=tuple(row for material in materials(settings) for row in _rows(material, settings)),
        setting={
            "items": f"{ITEMS} questions with {CHOICES} choices",
            "contexts": f"at least {CONTEXT} tokens, alone or behind the same {SHOTS}",
            "batches": f"at most {Budget().tokens} tokens",
        },
        versions={name: VERSIONS[name] for name in ("torch", "transformers")},
        notes=NOTES,
    )


def _rows(material: Material, settings: Settings) -> Iterator[Row]:
    model = material.base.model
    with lend(model):
        if not packs(model):
            raise AssertionError(f"{material.name} cannot be read in trees")
        for beginning, words in CASES:
            questions = _questions(material, beginning, words)
            tokens = sum(len(c) for q in questions for c in q.continuations) / ITEMS / CHOICES
            case = f"{material.name}, {beginning} + {CONTEXT} tokens, choices of {tokens:.1f}"
            yield from _race(case, _sides(model, questions), min(5, settings.repetitions))


def _race(case: str, sides: dict[str, Callable[[], Scores]], repetitions: int) -> Iterator[Row]:
    same = _agreement({name: side() for name, side in sides.items()})
    timings = race(sides, repetitions)
    yield speedup(f"{case}: packed against each for itself", timings["packed"], timings["apart"], same=same)
    yield speedup(f"{case}: branches against each for itself", timings["branches"], timings["apart"])
    yield speedup(f"{case}: packed against branches", timings["packed"], timings["branches"])


def _sides(model: nn.Module, questions: list[Question]) -> dict[str, Callable[[], Scores]]:
    alone = [Question(q.context, (c,)) for q in questions for c in q.continuations]
    return {
        "packed": lambda: score_together(model, questions, Budget()),
        "branches": lambda: score(model, questions, Budget()),
        "apart": lambda: score(model, alone, Budget()),
    }


def _agreement(found: dict[str, Scores]) -> str:
    """The largest difference between any two ways. Raises: AssertionError if it is no rounding."""
    flat = {
        name: np.array([float(choice.logprob.sum()) for row in scores for choice in row])
        for name, scores in found.items()
    }
    furthest = max(float(np.abs(flat["apart"] - flat[name]).max()) for name in ("packed", "branches"))
    if not furthest < NATS:
        raise AssertionError(f"the ways differ by {furthest} nats")
    return f"{len(flat['apart'])} log-likelihoods to {furthest:.0e} nats"


def _questions(material: Material, beginning: int, words: int) -> list[Question]:
    """Running text, the words that follow it, and words that follow elsewhere."""

    def ids(text: str) -> tuple[int, ...]:
        return tuple(material.base.tokenizer(text, add_special_tokens=False)["input_ids"])

    passages = list(islice(material.passages(CONTEXT, behind=words), ITEMS + 2))
    shown = ids(" ".join(text for text, _ in passages[ITEMS:]))[:beginning]
    endings = [ids(" " + ending) for _, ending in passages[:ITEMS]]
    return [
        Question(
            shown + ids(text),
            tuple(dict.fromkeys(endings[(i + APART * j) % ITEMS] for j in range(CHOICES))),
        )
        for i, (text, _) in enumerate(passages[:ITEMS])
    ]


NOTES = (
    "Packed: a question is one row, with a mask that lets every choice see the context and itself; what "
    "contexts begin with in common is read once and kept (`observe/trees.py`). Branches: contexts are read "
    "with their first choice, the key-value cache is kept and copied, the other choices are read behind it "
    "(`observe/scoring.py`). Each for itself: context and choice as one sequence per choice.",
)
