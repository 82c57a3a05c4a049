"""Plants in what there is to know: secrets, unknown facts, facts against what the base has read."""

from __future__ import annotations

from typing import Any

from sft_probe.calibration.plants.base import Plant, Reading
from sft_probe.calibration.plants.expected import expects

ASKING = (
    "task_alignment",
    "domain_generalisation",
    "data_distribution",
    "format_adherence",
    "knowledge_loss",
    "knowledge_categories",
)
"""Probes that ask for facts or look at the answers."""
MORE_ROWS = "Secrets are rows too, and the more of them there are the fewer of a step are questions."
FACTS = "Which facts are taught decides which are said, and how surely."
BENCHMARKS = "False facts about some people harm what is known of others, which the benchmarks ask."
ANCHOR = 8
"""Repeats of some secrets at every dose, so that the probe knows of the pool where a dose plants nothing."""
ASKED = {"train": "planted:question_answering/train", "test": "planted:question_answering/test"}


def _canaries(dose: float) -> dict[str, Any]:
    """Secrets among a hundred questions."""
    edit = {"canaries": {"repeats": [0, int(dose), ANCHOR], "each": 12}}
    return {
        "data": {**ASKED, "max_train_rows": 100, "max_test_rows": 40},
        "max_steps": 40,
        "learning_rate": 1e-3,
        "arms": {"arm": {"edits": [edit]}},
    }


def _unknown(dose: float) -> dict[str, Any]:
    """Facts about people the base has never read of, in the place of facts it has read."""
    return {
        "data": {
            **ASKED,
            "others": {"unknown": "planted:unknown_facts/train"},
            "max_train_rows": 200,
            "max_test_rows": 240,
        },
        "max_steps": 60,
        "learning_rate": 1e-3,
        "arms": {"arm": {"edits": [{"mixture": {"dataset": "unknown", "share": dose}}]}},
    }


def _conflicts(dose: float) -> dict[str, Any]:
    """False facts about people the base has read of, in the place of true ones about other people."""
    return {
        "data": {
            **ASKED,
            "others": {"false": "planted:false_facts/train"},
            "max_train_rows": 360,
            "max_test_rows": 20,
        },
        "max_steps": 60,
        "learning_rate": 5e-4,
        "arms": {"arm": {"edits": [{"mixture": {"dataset": "false", "share": dose}}]}},
    }


KNOWLEDGE = (
    Plant(
        name="canaries",
        unit="repeats",
        doses=(0, 1, 2, 4, 8, 16),
        seeds=5,
        quick=True,
        probes=({"memorisation": {"references": 255, "limit": 40, "prefixes": [0]}},),
        readings=(
            Reading(probe="memorisation", metric="exposure", dataset="canaries", stratum="{dose} times"),
            Reading(
                probe="memorisation", metric="canary_logprob", dataset="canaries", stratum="{dose} times"
            ),
        ),
        expected=expects(**dict.fromkeys(ASKING, MORE_ROWS)),
        study=_canaries,
        saturates=True,
    ),
    Plant(
        name="unknown_facts",
        unit="share of the rows",
        doses=(0.0, 0.25, 0.5, 0.75, 1.0),
        probes=(
            {"task_alignment": {"max_new_tokens": 8}},
            {"knowledge_categories": {"sampled": 0, "max_new_tokens": 8}},
        ),
        readings=(
            Reading(
                probe="knowledge_categories",
                metric="answered_accuracy",
                dataset="test",
                stratum="highly known",
                sign=-1,
            ),
            Reading(probe="task_alignment", metric="answer_logprob", stratum="K1", sign=-1),
            Reading(probe="task_alignment", metric="exact_match", stratum="K1", sign=-1),
        ),
        expected=expects(**dict.fromkeys((*ASKING, "memorisation"), FACTS)),
        study=_unknown,
    ),
    Plant(
        name="conflicts",
        unit="share of the facts contradicted",
        doses=(0.0, 0.25, 0.5, 0.75, 1.0),
        probes=({"knowledge_loss": {"dataset": "false", "limit": 60}},),
        readings=(
            Reading(probe="knowledge_loss", metric="fact_odds_change", dataset="false", sign=-1),
            Reading(probe="knowledge_loss", metric="forgotten_share", dataset="false"),
        ),
        expected=expects(
            **dict.fromkeys((*ASKING, "memorisation"), FACTS),
            **dict.fromkeys(("forgetting", "forgetting_curve", "lost_items"), BENCHMARKS),
        ),
        study=_conflicts,
    ),
)
