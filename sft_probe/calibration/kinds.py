"""Kinds of cells: a planted dose, or one of the nulls in which a probe has nothing to find. No torch.

| kind | what is looked at | what a probe must not find |
|---|---|---|
| dose | a model trained on planted rows | at the null dose: the plant |
| sham | a model trained on the base's own samples | the plant |
| permuted_labels | the middle dose, but answers are dealt anew among the rows | what a question teaches |
| random_change | the base plus noise, of the norm by which the middle dose changed each tensor | the plant |
| same_weights | the base itself, read a second time | anything |
| numerics | the base in passes of an eighth of the tokens, which puts other rows side by side | anything |
| numerics_bf16 | the same, all in bfloat16 | anything |
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sft_probe.calibration.plants.base import Plant

DOSE, SHAM, PERMUTED, RANDOM = "dose", "sham", "permuted_labels", "random_change"
SAME, NUMERICS, BF16 = "same_weights", "numerics", "numerics_bf16"
LOOKED = (SAME, NUMERICS, BF16, RANDOM)  # nothing that is looked at was trained
UNTOUCHED = (SAME, NUMERICS, BF16)


def middle(doses: tuple[float, ...]) -> float:
    """The middle dose, at which power is judged; of an even number, the higher one."""
    return doses[len(doses) // 2]


def changed(plant: Plant, dose: float, seed: int, kind: str) -> dict[str, Any]:
    """The study of one cell, as a study.yaml says it; its arm is called "arm".

    In a null, probes whose data a plant no longer gives are left out.
    """
    study = plant.sown(dose, seed)
    if kind == DOSE:
        return study
    study["probes"] = [_optional(probe) for probe in study["probes"]]
    arm = dict(study["arms"]["arm"])
    if kind == SHAM:
        arm["edits"] = [{"sham": {"seed": seed}}]
    elif kind == PERMUTED:
        arm["edits"] = [*arm.get("edits", ()), {"shuffled_answers": {"seed": seed}}]
    elif kind == BF16:
        study["dtype"] = "bfloat16"
    return {**study, "arms": {"arm": arm}}


def _optional(probe: Any) -> dict[str, Any]:
    if isinstance(probe, str):
        return {"name": probe, "optional": True}
    if isinstance(probe, Mapping) and "name" in probe:
        return {**probe, "optional": True}
    [(name, options)] = probe.items()
    return {"name": name, "options": options or {}, "optional": True}
