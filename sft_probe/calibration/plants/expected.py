"""Which probes may rightly react to a plant that they do not read, and why."""

from __future__ import annotations

from collections.abc import Mapping

MOVES = (
    "weight_change",
    "weight_spectra",
    "intruder_dimensions",
    "intruder_shrinkage",
    "mode_connectivity",
    "interpolation",
    "grafting",
    "representation_drift",
    "representation_geometry",
    "shift_direction",
    "attention_drift",
    "logit_lens",
    "layer_readouts",
    "token_shift",
    "objective_shift",
    "label_free_forgetting",
)
"""Probes of how far and where training moves a model. They ask what changed, not what was planted."""
WHY_MOVES = "Other rows move weights, states and predictions otherwise, which is all that this probe asks."


def expects(**reasons: str) -> Mapping[str, str]:
    """Reasons by probe, with those of the probes of movement. reasons: further ones, each a sentence."""
    return {**dict.fromkeys(MOVES, WHY_MOVES), **reasons}
