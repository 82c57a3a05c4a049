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


def expects(*read: str, moves: bool = True, **reasons: str) -> Mapping[str, str]:
    """Reasons by probe, those of the probes of movement among them.

    read: probes that read the plant and need no reason. reasons: further ones, each a sentence.
    """
    movers = dict.fromkeys(MOVES, WHY_MOVES) if moves else {}
    return {probe: why for probe, why in {**movers, **reasons}.items() if probe not in read}
