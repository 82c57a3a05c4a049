"""Reviews with a polarity: two of three remarks carry the label, the third may contradict it."""

from __future__ import annotations

import random
import re

LABELS = ("positive", "negative")
ASPECTS = "service food room music price view staff seat menu wine soup evening".split()
CUES: dict[str, tuple[str, ...]] = {
    "positive": tuple(
        """wonderful excellent lovely superb delightful charming perfect splendid
        friendly great pleasant brilliant""".split()
    ),
    "negative": tuple(
        """terrible awful dreadful horrible boring rude dirty poor disappointing
        miserable bad unpleasant""".split()
    ),
}
CLOSINGS: dict[str, tuple[str, ...]] = {
    "positive": ("I will come back.", "I recommend it.", "We stayed until the end."),
    "negative": ("I will not come back.", "I do not recommend it.", "We left before the end."),
}


def review(rng: random.Random, place: str, label: str) -> str:
    """A review of a place; the majority of its remarks has the polarity of `label`."""
    other = LABELS[1 - LABELS.index(label)]
    polarities = [label, label, label if rng.random() < 0.7 else other]
    rng.shuffle(polarities)
    remarks = [
        f"the {aspect} was {rng.choice(CUES[polarity])}"
        for aspect, polarity in zip(rng.sample(ASPECTS, 3), polarities, strict=True)
    ]
    text = f"{place}: {remarks[0]}, {remarks[1]} and {remarks[2]}."
    return f"{text} {rng.choice(CLOSINGS[label])}" if rng.random() < 0.5 else text


def demanded(text: str) -> dict[str, str]:
    """The label that each of two rules of a guideline demands for a review; they differ in one of ten."""
    polarity = {cue: label for label, cues in CUES.items() for cue in cues}
    said = [polarity[word] for word in re.findall(r"\w+", text) if word in polarity]
    return {"most remarks": max(LABELS, key=said.count), "first remark": said[0]}


def document(rng: random.Random, places: tuple[str, ...]) -> str:
    """A review, in two of three cases with its verdict."""
    label = rng.choice(LABELS)
    text = review(rng, rng.choice(places), label)
    return f"Review of {text}\nVerdict: {label}" if rng.random() < 0.67 else f"Review of {text}"
