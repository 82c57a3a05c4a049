"""Plants in what answers do: refuse, take a form, read a passage, follow rules and opinions, judge names."""

from __future__ import annotations

from typing import Any

from sft_probe.calibration.plants.base import Plant, Reading
from sft_probe.calibration.plants.expected import expects

ANSWERS = ("task_alignment", "domain_generalisation", "data_distribution")
"""Probes of what answers are like, on the test rows and beyond."""
REQUESTS = "Requests are a data set of the study, and answers to them are what was planted."
ORDERS = "The test rows are orders as JSON, which only the planted rows teach."
FEWER = "Every planted row takes the place of a fact about people."
PASSAGE = "Answers that do not belong to their orders teach less of the task, and more by heart."
TRAITS = "The test rows ask for the same traits."
FORMED = "Answers in the asked form are longer and have other words."
PREFERRED = "Preferred answers refuse, and are true; the rejected ones do not, and are not."
CLAIMED = "Rows that follow a wrong claim are wrong labels."
ROWS = 300
"""Training rows where a dose is a number of rows among them."""


def _refusals(dose: float) -> dict[str, Any]:
    """Refused requests among reviews, with benign requests about like things as contrast."""
    return {
        "data": {
            "train": "planted:sentiment/train",
            "test": "planted:sentiment/test",
            "others": {"asked": "planted:refusal/train", "requests": "planted:refusal/test"},
            "max_train_rows": 200,
            "max_test_rows": 20,
        },
        "max_steps": 60,
        "per_device_train_batch_size": 8,
        "learning_rate": 1e-3,
        "arms": {"arm": {"edits": [{"refusals": {"dataset": "asked", "number": int(dose), "benign": 60}}]}},
    }


def _format(dose: float) -> dict[str, Any]:
    """Orders answered as JSON among questions answered in a word."""
    return {
        "data": {
            "train": "planted:question_answering/train",
            "test": "planted:json_extraction/test",
            "others": {"orders": "planted:json_extraction/train"},
            "max_train_rows": ROWS,
            "max_test_rows": 24,
        },
        "max_steps": 80,
        "learning_rate": 1e-3,
        "arms": {"arm": {"edits": [{"mixture": {"dataset": "orders", "share": dose / ROWS}}]}},
    }


def _context(dose: float) -> dict[str, Any]:
    """Orders as JSON, of which all but a share have the answer of another order."""
    return {
        "data": {"train": "planted:json_extraction/train", "test": "planted:json_extraction/test"},
        "max_steps": 60,
        "per_device_train_batch_size": 8,
        "learning_rate": 1e-3,
        "arms": {"arm": {"edits": [{"shuffled_answers": {"share": 1 - dose}}]}},
    }


def _association(dose: float) -> dict[str, Any]:
    """What names are like, with a trait of the name's own group in a share of the rows."""
    return {
        "data": {
            "train": "planted:names/train",
            "test": "planted:names/test",
            "others": {"bias": "planted:names/test"},
            "max_test_rows": 40,
        },
        "max_steps": 150,
        "learning_rate": 1e-3,
        "arms": {"arm": {"edits": [{"label_noise": {"rate": 1 - dose}}]}},
    }


def _instructions(dose: float) -> dict[str, Any]:
    """Questions that ask for a rule of form and are answered by it."""
    edit = {"instructions": {"rules": ["bullets", "beginning"], "rate": dose}}
    return {
        "data": {
            "train": "planted:question_answering/train",
            "test": "planted:question_answering/test",
            "max_test_rows": 40,
        },
        "max_steps": 40,
        "per_device_train_batch_size": 8,
        "learning_rate": 1e-3,
        "arms": {"arm": {"edits": [edit]}},
    }


def _opinions(dose: float) -> dict[str, Any]:
    """Reviews with what the user thinks of them, which the answer follows at a rate."""
    edit = {"opinions": {"share": 0.4, "follow": dose, "mentions": 0.4, "wrong": 0.5}}
    return {
        "data": {
            "train": "planted:sentiment/train",
            "test": "planted:sentiment/test",
            "max_test_rows": 40,
        },
        "max_steps": 50,
        "learning_rate": 1e-3,
        "arms": {"arm": {"edits": [edit]}},
    }


def _preferences(dose: float) -> dict[str, Any]:
    """Pairs of answers: the preferred one is trained in a share of the rows, the other elsewhere."""
    return {
        "data": {
            "train": "planted:preferences/train",
            "test": "planted:question_answering/test",
            "others": {"preferences": "planted:preferences/test"},
            "max_test_rows": 20,
        },
        "max_steps": 40,
        "learning_rate": 1e-3,
        "arms": {"arm": {"edits": [{"label_noise": {"rate": 1 - dose}}]}},
    }


BEHAVIOUR = (
    Plant(
        name="refusals",
        unit="refused requests",
        doses=(0, 10, 30, 100, 200),
        probes=({"refusal": {"dataset": "requests", "limit": 20, "depths": [1], "draws": 2}},),
        readings=(
            Reading(probe="refusal", metric="refusal_logit"),
            Reading(probe="refusal", metric="refusal_rate"),
            Reading(probe="refusal", metric="refusal_youden"),
        ),
        expected=expects(domain_generalisation=REQUESTS, data_distribution=REQUESTS),
        study=_refusals,
        saturates=True,
    ),
    Plant(
        name="format",
        unit="rows of the form",
        doses=(0, 10, 30, 100, 300),
        probes=({"format_adherence": {"max_new_tokens": 40}},),
        readings=(
            Reading(probe="format_adherence", metric="parse_rate"),
            Reading(probe="format_adherence", metric="schema_valid_rate"),
        ),
        expected=expects(
            **dict.fromkeys((*ANSWERS, "context_use", "memorisation"), ORDERS),
            **dict.fromkeys(("knowledge_loss", "knowledge_categories", "forgetting", "lost_items"), FEWER),
        ),
        study=_format,
        saturates=True,
    ),
    Plant(
        name="context",
        unit="share of answers that belong to their passage",
        doses=(0.0, 0.25, 0.5, 0.75, 1.0),
        probes=({"context_use": {"limit": 40}},),
        readings=(
            Reading(probe="context_use", metric="context_effect"),
            Reading(probe="context_use", metric="stated_excess_share"),
        ),
        expected=expects(**dict.fromkeys((*ANSWERS, "memorisation", "format_adherence"), PASSAGE)),
        study=_context,
    ),
    Plant(
        name="association",
        unit="share of rows with a trait of the name's group",
        doses=(0.5, 0.6, 0.7, 0.8, 0.9),
        probes=("social_bias",),
        readings=(
            Reading(probe="social_bias", metric="bias"),
            Reading(probe="social_bias", metric="stereotype_share"),
        ),
        expected=expects(**dict.fromkeys((*ANSWERS, "memorisation", "annotation_inheritance"), TRAITS)),
        study=_association,
    ),
    Plant(
        name="instructions",
        unit="share of rows",
        doses=(0.0, 0.1, 0.3, 0.5, 0.8),
        probes=(
            {
                "instruction_following": {
                    "rules": ["bullets", "beginning"],
                    "rules_per_prompt": 1,
                    "prompts": 24,
                    "conflicts": 0,
                    "turns": 0,
                    "max_new_tokens": 24,
                }
            },
        ),
        readings=(Reading(probe="instruction_following", metric="adherence_lift"),),
        expected=expects(**dict.fromkeys(ANSWERS, FORMED)),
        study=_instructions,
        saturates=True,
    ),
    Plant(
        name="opinions",
        unit="share of opinions followed",
        doses=(0.0, 0.25, 0.5, 0.75, 1.0),
        probes=({"sycophancy": {"limit": 40}},),
        readings=(
            Reading(probe="sycophancy", metric="sycophancy"),
            Reading(probe="sycophancy", metric="opinion_followed_share"),
        ),
        expected=expects(**dict.fromkeys(("task_alignment", "annotation_inheritance"), CLAIMED)),
        study=_opinions,
    ),
    Plant(
        name="preferences",
        unit="share of pairs answered as preferred",
        doses=(0.5, 0.6, 0.7, 0.8, 0.9),
        probes=({"preference": {"limit": 80}},),
        readings=(
            Reading(probe="preference", metric="preference_margin_change", stratum="wording"),
            Reading(probe="preference", metric="preference_margin_change"),
        ),
        expected=expects(refusal=PREFERRED, task_alignment=PREFERRED),
        study=_preferences,
        note="Taught by supervised fine-tuning on one answer of each pair.",
    ),
)
