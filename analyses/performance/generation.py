"""Greedy answers: the adapter against lm-eval's own `HFLM`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from analyses.performance.against_hflm import STOCK, VERSIONS, Material, materials, sides
from analyses.performance.bench import Result, Row, Settings, at_least

PROMPTS = 160
TOKENS = (20, 60)  # of one prompt in two each
NEW_TOKENS = 48
GOALS = at_least(1), at_least(1)

TASK: dict[str, Any] = {
    "output_type": "generate_until",
    "doc_to_text": "{{text}}",
    "doc_to_target": "{{next}}",
    "metric_list": [{"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}],
}
CASES: Mapping[str, list[str]] = {"to the end of the sentence": ["."], "as long as may be": []}


def run(settings: Settings) -> Result:
    """Answers that end soon and answers that do not, on a planted and a published model."""
    return Result(
        name="generation",
        question="Are greedy answers at least as fast as in lm-eval itself?",
        goal="at least as fast as HFLM; 1.5 times is aimed at",
        rows=tuple(row for material in materials(settings) for row in _rows(material, settings)),
        setting={
            "prompts": f"{PROMPTS}, of at least {' and '.join(map(str, TOKENS))} tokens in turn",
            "answers": f"at most {NEW_TOKENS} tokens",
            "HFLM": STOCK,
        },
        versions=VERSIONS,
        notes=NOTES,
    )


def _rows(material: Material, settings: Settings) -> Iterator[Row]:
    lengths = [list(islice(material.passages(least, behind=4), PROMPTS // 2)) for least in TOKENS]
    documents = [
        {"text": text, "next": behind} for turn in zip(*lengths, strict=True) for text, behind in turn
    ]
    for number, (case, until) in enumerate(CASES.items()):
        name = f"answers_{number}"
        options = {"generation_kwargs": {"until": until, "max_gen_toks": NEW_TOKENS}}
        folder = settings.work / material.base.digest[:8] / name
        found = sides(material, folder, {"task": name, **TASK, **options}, {"test": documents})
        yield from found.race(f"{material.name}, {case}", settings, GOALS)


NOTES = (
    "Where answers end at different places, those that have ended leave the batch here and stay in it there. "
    "Where all run to the last token, both sides make the same forward passes; what is saved is the copy of "
    "all keys and values at every token.",
)
