"""The arms that take a gain apart, made from the reference arm of a study (`science.md` section 2.2).

The reference arm itself is the full one, A5: all arms train on the same rows, from which one stratum of
entities is held out. Its companions differ in what their rows teach, and in nothing else, but for the format
arm, which stops when there is no more form to learn.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from sft_probe.study.spec import ArmSpec, EditSpec, ProbeSpec, StopSpec, StudySpec

if TYPE_CHECKING:
    from collections.abc import Iterator

PROBE = "gain_waterfall"
RESERVE = "reserve"  # rows that are trained on and never asked
FORMAT, KNOWN, MAPPING, SHAM, UNKNOWN = "format", "known", "mapping", "sham", "unknown"
_KNOWN = EditSpec(name="known_only", options={"within": [RESERVE]})
COMPANIONS: Mapping[str, tuple[EditSpec, ...]] = {
    FORMAT: (EditSpec(name="format_only"),),
    KNOWN: (_KNOWN,),
    MAPPING: (_KNOWN, EditSpec(name="other_form")),
    SHAM: (EditSpec(name="sham"),),
    UNKNOWN: (EditSpec(name="unknown_only"),),
}
"""A3, A4, what A4 teaches in another form, A7 and A8 by what is added to the reference arm's name. A4 trains
on reserve facts alone, so that no question about a stratum meets a fact that A4 was taught."""
STOPS: Mapping[str, StopSpec] = {FORMAT: StopSpec()}
"""A3 ends once its answers have the form: more steps would teach nothing but made-up facts."""


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
    for kind, edits in COMPANIONS.items():
        if kind == MAPPING and not (spec.decompose and spec.decompose.symmetric):
            continue
        if (name := companion(spec.reference, kind)) not in spec.arms:
            label = f"{whole.label or spec.reference}, {kind}"
            changed = {"edits": (*whole.edits, *edits), "label": label, "stop": STOPS.get(kind, whole.stop)}
            yield name, whole.model_copy(update=changed)
