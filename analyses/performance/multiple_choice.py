"""Multiple-choice scoring: the adapter against lm-eval's own `HFLM`."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

from analyses.performance.against_hflm import STOCK, VERSIONS, Documents, Material, Sides, materials, sides
from analyses.performance.bench import Result, Row, Settings, at_least

ITEMS, CHOICES = 400, 4
LEAST = 60  # tokens of every question
SHOTS, SHOT = 4, 24  # examples before it, and tokens of each
ANSWER = 2  # words
GOALS = at_least(4), at_least(6)  # end to end, in scoring alone
APART = 17  # the wrong choices of a question are the right ones of questions so far away

TASK: dict[str, Any] = {
    "output_type": "multiple_choice",
    "doc_to_text": "{{question}}",
    "doc_to_choice": "{{choices}}",
    "doc_to_target": "{{gold}}",
    "metric_list": [
        {"metric": metric, "aggregation": "mean", "higher_is_better": True} for metric in ("acc", "acc_norm")
    ],
}
SHOWN: dict[str, Any] = {
    "training_split": "train",
    "fewshot_split": "train",
    "fewshot_config": {"sampler": "first_n"},
    "num_fewshot": SHOTS,
}
CASES = {
    f"{SHOTS} fixed examples before every question, as in MMLU": SHOWN,
    "no examples, every context another": {},
}


def run(settings: Settings) -> Result:
    """Questions with and without examples before them, on a planted and a published model."""
    return Result(
        name="multiple_choice",
        question="How much faster is multiple-choice scoring where choices share their context?",
        goal="at least 4 times as fast as HFLM end to end, at least 6 times in scoring alone",
        rows=tuple(row for material in materials(settings) for row in _rows(material, settings)),
        setting={
            "items": f"{ITEMS} questions with {CHOICES} choices of {ANSWER} words",
            "contexts": f"at least {LEAST} tokens of running text, each another",
            "HFLM": STOCK,
        },
        versions=VERSIONS,
        notes=NOTES,
    )


def _rows(material: Material, settings: Settings) -> Iterator[Row]:
    documents = {"test": _questions(material, LEAST, ITEMS), "train": _questions(material, SHOT, SHOTS)}
    for number, (case, options) in enumerate(CASES.items()):
        name = f"choice_{number}"
        folder = settings.work / material.base.digest[:8] / name
        found = sides(material, folder, {"task": name, **TASK, **options}, documents)
        yield from found.race(f"{material.name}, {case} ({_sizes(material, found)})", settings, GOALS)


def _questions(material: Material, least: int, count: int) -> Documents:
    passages = list(islice(material.passages(least, behind=ANSWER), count))
    endings = [ending for _, ending in passages]
    return [
        {
            "question": question,
            "choices": [endings[(i + APART * (j - i % CHOICES)) % count] for j in range(CHOICES)],
            "gold": i % CHOICES,
        }
        for i, (question, _) in enumerate(passages)
    ]


def _sizes(material: Material, found: Sides) -> str:
    """Mean sizes, and how many times as many tokens it takes to read every choice with its whole context."""
    pairs = [request.args for request in found.requests()]
    context, choice = (sum(map(material.size, texts)) / len(pairs) for texts in zip(*pairs, strict=True))
    whole = material.base.tokenizer([before + after for before, after in pairs])["input_ids"]
    nodes: dict[tuple[int, int], int] = {}
    for ids in whole:
        node = -1
        for token in ids[:-1]:  # the last one is predicted, not read
            node = nodes.setdefault((node, token), len(nodes))
    ratio = sum(len(ids) - 1 for ids in whole) / len(nodes)
    return (
        f"{context:.0f} tokens of context, {choice:.1f} of a choice, {ratio:.1f} tokens for each distinct one"
    )


NOTES = (
    "The number of tokens for each distinct one in a case is what sharing can save at most: HFLM reads every "
    "choice with its whole context, here every distinct beginning is read once. With four choices and "
    "contexts that have nothing in common it stays below four, so both goals are out of reach there; with "
    "examples that stand before every question, which is how MMLU and most few-shot tasks are asked, "
    "it is far above.",
    "Half of the time here is matrix products, which cost the same per token on both sides, a fifth is "
    "attention under the tree's mask. More than the shared tokens could be saved only by cheaper products "
    "(bfloat16, compiled blocks), which would move the numbers by more than 1e-4.",
    "With one-token choices the gap is smaller: HFLM itself reads a context once for those.",
)
