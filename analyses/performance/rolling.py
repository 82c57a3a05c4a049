"""Log-likelihood of whole texts: the adapter against lm-eval's own `HFLM`."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

from analyses.performance.against_hflm import STOCK, VERSIONS, Documents, Material, materials, sides
from analyses.performance.bench import Result, Row, Settings, at_least

TEXTS = 160
TOKENS = (40, 90, 160, 700)  # of one text in four each; the longest go beyond both models' windows
GOALS = at_least(1), at_least(1)

TASK: dict[str, Any] = {
    "task": "texts",
    "output_type": "loglikelihood_rolling",
    "doc_to_text": "",
    "doc_to_target": "{{text}}",
    "metric_list": [{"metric": "word_perplexity"}, {"metric": "bits_per_byte"}],
}


def run(settings: Settings) -> Result:
    """Texts shorter and longer than the window, on a planted and a published model."""
    return Result(
        name="rolling",
        question="Is the perplexity of whole texts at least as fast as in lm-eval itself?",
        goal="at least as fast as HFLM; 1.5 times is aimed at",
        rows=tuple(row for material in materials(settings) for row in _rows(material, settings)),
        setting={
            "texts": f"{TEXTS}, of at least {', '.join(map(str, TOKENS))} tokens in turn",
            "HFLM": STOCK,
        },
        versions=VERSIONS,
        notes=NOTES,
    )


def _rows(material: Material, settings: Settings) -> Iterator[Row]:
    folder = settings.work / material.base.digest[:8]
    found = sides(material, folder, TASK, {"test": _texts(material)})
    yield from found.race(material.name, settings, GOALS)


def _texts(material: Material) -> Documents:
    each = TEXTS // len(TOKENS)
    lengths = [list(islice(material.passages(least), each)) for least in TOKENS]
    return [{"text": text} for turn in zip(*lengths, strict=True) for text, _ in turn]


NOTES = (
    "Nothing is shared between texts: what is saved is padding, logits that nobody reads and their softmax.",
)
