"""Plants in the course of training: replayed text, another domain among the rows, how far weights travel."""

from __future__ import annotations

from typing import Any

from sft_probe.calibration.plants.base import Plant, Reading
from sft_probe.calibration.plants.expected import expects

ASKED = {"train": "planted:question_answering/train", "test": "planted:question_answering/test"}
TRAVELS = {
    0.0: (1e-9, 20),
    0.4: (1e-4, 40),
    1.0: (5e-4, 20),
    2.0: (5e-4, 40),
    4.0: (2e-3, 20),
    8.0: (2e-3, 40),
}
"""Dose of drift -> learning rate and steps, whose product it is in units of 0.01."""


def _replay(dose: float) -> dict[str, Any]:
    """Text like the base's own in a share of the rows, at a rate that forgets without it."""
    held = {"regulariser": {"replay": {"dataset": "generic", "fraction": dose}}} if dose else {}
    return {
        "data": {
            **ASKED,
            "others": {"generic": "planted:replay"},
            "max_train_rows": 400,
            "max_test_rows": 20,
        },
        "max_steps": 40,
        "learning_rate": 1e-3,
        "arms": {"arm": held},
    }


def _domain(dose: float) -> dict[str, Any]:
    """Clinical notes to be written out, among questions about people."""
    return {
        "data": {
            **ASKED,
            "others": {"notes": "planted:note_expansion/train", "clinical": "planted:note_expansion/test"},
            "max_train_rows": 300,
            "max_test_rows": 30,
        },
        "max_steps": 40,
        "learning_rate": 1e-3,
        "arms": {"arm": {"edits": [{"mixture": {"dataset": "notes", "share": dose}}]}},
    }


def _drift(dose: float) -> dict[str, Any]:
    rate, steps = TRAVELS[dose]
    return {
        "data": {
            **ASKED,
            "others": {"generic": "planted:replay"},
            "max_train_rows": 400,
            "max_test_rows": 30,
        },
        "arms": {"arm": {"learning_rate": rate, "max_steps": steps}},
    }


FEWER = "Replayed text takes the place of questions, and holds facts of every kind."
NOTES = "Every note takes the place of a question about people."
FURTHER = "A model that is trained further has learned and forgotten more."
ASKING = (
    "task_alignment",
    "format_adherence",
    "memorisation",
    "knowledge_loss",
    "knowledge_categories",
    "forgetting",
    "forgetting_curve",
    "lost_items",
)
"""Probes of what is learned and kept of a task and of facts."""
WHOLE = (*ASKING, "domain_generalisation", "data_distribution", "coherence", "context_use")
COURSE = (
    Plant(
        name="replay",
        unit="share of replayed text",
        doses=(0.0, 0.05, 0.1, 0.3, 0.6),
        probes=({"label_free_forgetting": {"dataset": "generic", "limit": 40}},),
        readings=(
            Reading(probe="label_free_forgetting", metric="base_cross_entropy_change", sign=-1),
            Reading(probe="label_free_forgetting", metric="text_loss_change", sign=-1),
        ),
        expected=expects("label_free_forgetting", **dict.fromkeys(WHOLE, FEWER)),
        study=_replay,
    ),
    Plant(
        name="domain",
        unit="share of the rows",
        doses=(0.0, 0.05, 0.1, 0.25, 0.5),
        quick=True,
        probes=({"domain_generalisation": {"limit": 30}},),
        readings=(
            Reading(probe="domain_generalisation", metric="domain_logprob_change", dataset="clinical"),
        ),
        expected=expects("domain_generalisation", **dict.fromkeys(WHOLE, NOTES)),
        study=_domain,
        saturates=True,
    ),
    Plant(
        name="drift",
        unit="learning rate times steps, in 0.01",
        doses=tuple(TRAVELS),
        seeds=5,
        quick=True,
        probes=(
            {"label_free_forgetting": {"dataset": "generic", "limit": 30}},
            {"token_shift": {"limit": 20, "max_new_tokens": 12}},
            "representation_drift",
            "weight_change",
        ),
        readings=(
            Reading(probe="label_free_forgetting", metric="base_cross_entropy_change"),
            Reading(probe="token_shift", metric="kl_tuned_base"),
            Reading(probe="representation_drift", metric="relative_drift", layer=6),
            Reading(probe="representation_drift", metric="cka", layer=6, sign=-1),
            Reading(probe="weight_change", metric="relative_norm", layer=6),
        ),
        expected=expects(
            "label_free_forgetting",
            "token_shift",
            "representation_drift",
            "weight_change",
            **dict.fromkeys(
                (*WHOLE, "refusal", "social_bias", "sycophancy", "instruction_following"), FURTHER
            ),
        ),
        study=_drift,
    ),
)
