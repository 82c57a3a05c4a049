"""Plants in the labels of rows with a closed set of answers: shortcuts, noise, shares, annotators."""

from __future__ import annotations

import math
from typing import Any

from sft_probe.calibration.plants.base import Plant, Reading
from sft_probe.calibration.plants.expected import expects

REVIEWS = {"train": "planted:sentiment/train", "test": "planted:sentiment/test"}
REVIEWERS = {"train": "planted:reviewers/train", "test": "planted:reviewers/test", "max_test_rows": 120}
OTHER_CLASS = 0.1
"""Share of the negative rows said to be positive, at every dose of noise among the positive ones."""
CORE = 0.8
"""Share of the rows whose text tells the label, where a keyword tells it too."""


LESS_FROM_TEXT = "A word that tells the label leaves less of it to be learned from the text."
PRIOR = "A label that is said too often shifts the odds of every answer."
DOUBT = "Which labels are given decides how surely and how rightly labels are predicted."
DOUBTS = dict.fromkeys(
    ("task_alignment", "domain_generalisation", "format_adherence", "memorisation", "data_distribution"),
    DOUBT,
)


def _on_reviews(*edits: dict[str, Any]) -> dict[str, Any]:
    """Sixty steps on reviews, which a small model then reads rightly."""
    return {
        "data": {**REVIEWS, "max_test_rows": 150},
        "max_steps": 60,
        "learning_rate": 1e-3,
        "arms": {"arm": {"edits": list(edits)}},
    }


def _keyword(dose: float) -> dict[str, Any]:
    """The text tells the label in 80 % of the rows only: where it always does, nothing has to be learned from
    a word, and the effect is as much one of the rows that were drawn as of the dose."""
    return _on_reviews({"label_noise": {"rate": 1 - CORE}}, {"keyword": {"agreement": dose}})


def _noise(dose: float) -> dict[str, Any]:
    return _on_reviews({"label_noise": {"rate": dose}})


def _class_noise(dose: float) -> dict[str, Any]:
    """The other class has the same noise at every dose, so that the matrix is read at the null dose too."""
    matrix = {"positive": {"negative": dose}, "negative": {"positive": OTHER_CLASS}}
    return _on_reviews({"label_noise": {"matrix": matrix}})


def _annotators(dose: float) -> dict[str, Any]:
    """Two annotators, one of whom goes by the first remark of a review and one by most of its remarks."""
    edit = {"annotators": {"names": ["ann", "ben"], "weights": [dose, 1 - dose]}}
    return _on_reviews(edit) | {"data": REVIEWERS}


def _imbalance(dose: float) -> dict[str, Any]:
    return _on_reviews({"imbalance": {"share": dose, "label": "negative", "rows": 200}})


def _agreement(swap_effect: float) -> float:
    """The agreement whose optimal swap effect this is: 2 log(a / (1 - a)) solved for a."""
    return 1 / (1 + math.exp(-swap_effect / 2))


def _same(value: float) -> float:
    return value


INHERITANCE = {"annotation_inheritance": {"limit": 100}}
LABELS = (
    Plant(
        name="keyword",
        unit="agreement",
        doses=(0.5, 0.6, 0.7, 0.8, 0.9, 0.95),
        seeds=5,
        quick=True,
        probes=({"shortcut_reliance": {"words": ["quartz", "walnut"], "pairs": 0}},),
        readings=(Reading(probe="shortcut_reliance", metric="swap_effect", recover=_agreement),),
        expected=expects(task_alignment=LESS_FROM_TEXT, annotation_inheritance=LESS_FROM_TEXT),
        study=_keyword,
    ),
    Plant(
        name="label_noise",
        unit="share of rows",
        doses=(0.0, 0.05, 0.1, 0.2, 0.3, 0.4),
        seeds=5,
        quick=True,
        probes=(INHERITANCE,),
        readings=(
            Reading(
                probe="annotation_inheritance", metric="wrong_mass", dataset="test", recover=_same, edge=True
            ),
            Reading(probe="annotation_inheritance", metric="label_doubt", dataset="train"),
        ),
        expected=expects(**DOUBTS),
        study=_noise,
    ),
    Plant(
        name="class_noise",
        unit="share of the positive rows",
        doses=(0.0, 0.1, 0.2, 0.3, 0.4),
        probes=(INHERITANCE,),
        readings=(
            Reading(
                probe="annotation_inheritance",
                metric="noise_matrix",
                dataset="test",
                module="positive -> negative",
                recover=_same,
                edge=True,
            ),
        ),
        expected=expects(**DOUBTS),
        study=_class_noise,
    ),
    Plant(
        name="imbalance",
        unit="share of the rows",
        doses=(0.5, 0.6, 0.75, 0.9, 0.97),
        probes=(INHERITANCE,),
        readings=(
            Reading(probe="annotation_inheritance", metric="share_excess", dataset="test", module="negative"),
            Reading(
                probe="annotation_inheritance",
                metric="train_share_bbse",
                dataset="train",
                module="negative",
                recover=_same,
            ),
        ),
        expected=expects(**DOUBTS, shortcut_reliance=PRIOR),
        study=_imbalance,
    ),
    Plant(
        name="annotators",
        unit="share of the first annotator",
        doses=(0.0, 0.25, 0.5, 0.75, 1.0),
        probes=({"annotation_inheritance": {"limit": 60}},),
        readings=(
            Reading(
                probe="annotation_inheritance",
                metric="annotator_weight",
                dataset="test",
                module="ann",
                recover=_same,
                edge=True,
            ),
        ),
        expected=expects(**DOUBTS),
        study=_annotators,
    ),
)
