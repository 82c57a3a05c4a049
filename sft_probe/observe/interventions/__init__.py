"""What can be changed about a look: the words before a model, or the model itself while it lasts."""

from sft_probe.observe.interventions.values import (
    Ablate,
    Add,
    Contrast,
    Declared,
    Direction,
    FewShot,
    Graft,
    Interpolate,
    Intervention,
    MeanShift,
    ModelIntervention,
    Part,
    Prefill,
    PromptIntervention,
    Quantise,
    Template,
)

__all__ = [
    "Ablate",
    "Add",
    "Contrast",
    "Declared",
    "Direction",
    "FewShot",
    "Graft",
    "Interpolate",
    "Intervention",
    "MeanShift",
    "ModelIntervention",
    "Part",
    "Prefill",
    "PromptIntervention",
    "Quantise",
    "Template",
]
