"""The arms that take a gain apart, made from the reference arm of a study (`science.md` section 2.2).

The reference arm itself is the full one, A5: all arms train on the same rows, from which one stratum of
entities is held out. Its companions differ in what their rows teach, and in nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from sft_probe.study.spec import ArmSpec, EditSpec, ProbeSpec, StudySpec

if TYPE_CHECKING:
    from collections.abc import Iterator

PROBE = "gain_waterfall"
RESERVE = "reserve"  # rows that are trained on and never asked
FORMAT, KNOWN, SHAM, UNKNOWN = "format", "known", "sham", "unknown"
COMPANIONS: Mapping[str, EditSpec] = {
    FORMAT: EditSpec(name="format_only"),
    KNOWN: EditSpec(name="known_only", options={"within": [RESERVE]}),
    SHAM: EditSpec(name="sham"),
    UNKNOWN: EditSpec(name="unknown_only"),
}
"""A3, A4, A7 and A8 by what is added to the reference arm's name. A4 trains on reserve facts alone, so that
no question about a stratum meets a fact that A4 was taught."""


def companion(reference: str, kind: str) -> str:
    """Name of a companion arm."""
    return f"{reference}.{kind}"


def is_companion(spec: StudySpec, arm: str) -> bool:
    """Whether an arm was added to take the gain of the reference arm apart."""
    return spec.decompose is not None and arm in {companion(spec.reference, kind) for kind in COMPANIONS}


def with_arms(spec: StudySpec) -> StudySpec:
    """The study with companions of its reference arm and the probe that reads them, if it asks for it.

    Arms and probes of that name that are there already stay as they are.
    """
    if spec.decompose is None:
        return spec
    added = dict(_companions(spec))
    probes = spec.probes
    if PROBE not in {probe.name for probe in probes}:
        probes = (*probes, ProbeSpec(name=PROBE))
    ends_only = tuple(dict.fromkeys((*spec.schedule.ends_only, PROBE)))
    return spec.model_copy(
        update={
            "arms": {**spec.arms, **added},
            "reference_arm": spec.reference,
            "probes": probes,
            "schedule": spec.schedule.model_copy(update={"ends_only": ends_only}),
        }
    )


def _companions(spec: StudySpec) -> Iterator[tuple[str, ArmSpec]]:
    whole = spec.arms[spec.reference]
    for kind, edit in COMPANIONS.items():
        if (name := companion(spec.reference, kind)) not in spec.arms:
            label = f"{whole.label or spec.reference}, {kind}"
            yield name, whole.model_copy(update={"edits": (*whole.edits, edit), "label": label})
