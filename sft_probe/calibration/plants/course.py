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
        "max_steps": 30,
        "learning_rate": 1e-3,
        "arms": {"arm": {"edits": [{"mixture": {"dataset": "notes", "share": dose}}]}},
    }


def _rank(dose: float) -> dict[str, Any]:
    """LoRA on questions about people."""
    return {
        "data": {**ASKED, "max_train_rows": 200, "max_test_rows": 20},
        "arms": {
            "arm": {
                "method": "lora",
                "method_options": {"r": int(dose)},
                "learning_rate": 2e-3,
                "max_steps": 20,
            }
        },
    }


def _same(value: float) -> float:
    return value


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
FARTHER = (*WHOLE, "refusal", "social_bias", "sycophancy", "instruction_following", "preference")
TRAVELLED = "learning rate times steps, in 0.01"
LAST = 6
"""The last block of the planted base."""
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
        expected=expects(**dict.fromkeys(WHOLE, FEWER)),
        study=_replay,
    ),
    Plant(
        name="domain",
        unit="share of the rows",
        doses=(0.0, 0.05, 0.1, 0.25, 0.5),
        probes=(
            {"domain_generalisation": {"limit": 30}},
            {"data_distribution": {"limit": 12, "max_new_tokens": 12}},
        ),
        readings=(
            Reading(probe="domain_generalisation", metric="domain_logprob_change", dataset="clinical"),
            Reading(probe="data_distribution", metric="bits_per_byte_change", dataset="clinical", sign=-1),
        ),
        expected=expects(**dict.fromkeys(WHOLE, NOTES)),
        study=_domain,
        saturates=True,
    ),
    Plant(
        name="drift",
        unit=TRAVELLED,
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
            Reading(probe="token_shift", metric="kl_tuned_base", module="tuned"),
            Reading(probe="representation_drift", metric="relative_drift", layer=LAST),
            Reading(probe="representation_drift", metric="cka", layer=LAST, sign=-1),
            Reading(probe="weight_change", metric="relative_norm", module="all", layer=-1),
        ),
        expected=expects(**dict.fromkeys(FARTHER, FURTHER)),
        study=_drift,
    ),
    Plant(
        name="drift_inside",
        unit=TRAVELLED,
        doses=tuple(TRAVELS),
        probes=(
            {"representation_geometry": {"limit": 20}},
            {"attention_drift": {"limit": 20}},
            {"shift_direction": {"limit": 20}},
            {"logit_lens": {"limit": 20, "fit_limit": 20, "steps": 3}},
            "weight_spectra",
            "intruder_dimensions",
            {"mode_connectivity": {"limit": 20, "points": 3}},
            {"grafting": {"limit": 12, "tasks": []}},
        ),
        readings=(
            Reading(probe="representation_geometry", metric="procrustes_angle", layer=LAST),
            Reading(probe="attention_drift", metric="attention_moved_share", layer=LAST),
            Reading(probe="shift_direction", metric="shift_length", layer=LAST),
            Reading(probe="logit_lens", metric="decision_depth_change", module="logit", sign=-1),
            Reading(probe="weight_spectra", metric="spectral_ratio", module="all", layer=-1),
            Reading(probe="intruder_dimensions", metric="intruder_score", module="all", layer=-1),
            Reading(probe="mode_connectivity", metric="excess_on_line", module="alpha 0.5", sign=-1),
            Reading(probe="grafting", metric="graft_sufficiency", module="mlp", layer=LAST),
        ),
        expected=expects(**dict.fromkeys(FARTHER, FURTHER)),
        study=_drift,
        trained_as="drift",
        note="The same training as for drift, read inside the model.",
    ),
    Plant(
        name="drift_cost",
        unit=TRAVELLED,
        doses=tuple(TRAVELS),
        probes=(
            {"forgetting": {"limit": 24}},
            {"forgetting_curve": {"limit": 12}},
            {"lost_items": {"limit": 12}},
            {"interpolation": {"limit": 20, "documents": 12, "alphas": [0.5]}},
            {"objective_shift": {"limit": 20, "max_new_tokens": 12}},
            "coherence",
        ),
        readings=(
            Reading(probe="forgetting", metric="margin_change", dataset="all", sign=-1),
            Reading(probe="forgetting", metric="accuracy_change", dataset="all", sign=-1),
            Reading(probe="forgetting_curve", metric="retained_margin_change", dataset="all", sign=-1),
            Reading(probe="lost_items", metric="lost_count", dataset="all"),
            Reading(
                probe="interpolation", metric="path_accuracy_change", dataset="all", module="alpha 1", sign=-1
            ),
            Reading(probe="objective_shift", metric="forward_kl_sampled", module="sampled"),
            Reading(probe="coherence", metric="next_sentence_margin_change", sign=-1),
        ),
        expected=expects(**dict.fromkeys(FARTHER, FURTHER)),
        study=_drift,
        trained_as="drift",
        note="The same training as for drift, read as what it costs.",
    ),
    Plant(
        name="rank",
        unit="rank of the change",
        doses=(1, 2, 4, 8, 16),
        probes=("weight_spectra",),
        readings=(
            Reading(probe="weight_spectra", metric="rank", module="all", layer=-1, recover=_same),
            Reading(probe="weight_spectra", metric="effective_rank", module="all", layer=-1),
        ),
        expected=expects(**dict.fromkeys(FARTHER, FURTHER)),
        study=_rank,
        note="The lowest dose is rank 1, the least that LoRA can change a matrix by.",
    ),
)
