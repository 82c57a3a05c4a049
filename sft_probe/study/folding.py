"""From the flat form a study is written in to the nested form it is validated in, and changes to it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sft_probe.errors import SpecError
from sft_probe.registry import available
from sft_probe.study.spec import DataSpec, ModelSpec, ProbeSpec, Spec, StageSpec, StudySpec, TrainingSpec

SECTIONS: Mapping[str, type[Spec]] = {"base": ModelSpec, "data": DataSpec, "training": TrainingSpec}
SWITCHES = ("decompose", "revive")  # sections that `true` turns on with their defaults
ALL = "all"


def section_of(key: str) -> str | None:
    """The section whose key may also stand at the top, such as "training" for `learning_rate`."""
    return next((section for section, model in SECTIONS.items() if key in model.model_fields), None)


def fold(raw: Mapping[str, Any], file: str) -> dict[str, Any]:
    """The nested form of a study. Unknown keys stay where they are, to be refused by name later.

    Raises: SpecError for a key that is given twice, in its section and at the top.
    """
    top = {key: value for key, value in raw.items() if key in StudySpec.model_fields or not section_of(key)}
    study = dict(top)
    for key, value in raw.items():
        if key not in top:
            section = section_of(key) or ""
            study[section] = _with(study.get(section), key, value, file, section)
    return _fold_values(study, file)


def probe_specs(probes: Iterable[Any]) -> tuple[ProbeSpec, ...]:
    """Probes written as in a study: `name`, `{name: {options}}` or `all`. Raises: SpecError."""
    named = [_named(probe, f"probes[{i}]", "probes") for i, probe in enumerate(probes)]
    if unnamed := [probe for probe in named if not isinstance(probe, dict)]:
        raise SpecError(f"expected a name, found {unnamed[0]!r}.", field="probes")
    return tuple(ProbeSpec.model_validate(probe) for probe in _spelled_out(named))


def change(raw: dict[str, Any], key: str, value: Any, file: str) -> None:
    """Set one dotted key, whether it stands in its section or at the top.

    Raises: SpecError if the path leads through something that holds no keys.
    """
    *parents, last = key.split(".")
    if not parents and last not in StudySpec.model_fields:
        parents = [section] if (section := section_of(last)) else []
    if len(parents) == 1 and parents[0] in SECTIONS and last in raw:
        parents = []
    place = raw
    for parent in parents:
        if place.get(parent) is None:
            place[parent] = {}
        place = place[parent]
        if not isinstance(place, dict):
            raise SpecError(f"'{parent}' holds no keys.", file=file, field=key)
    place[last] = value


def _fold_values(study: dict[str, Any], file: str) -> dict[str, Any]:
    if "seed" in study:
        seed = study.pop("seed")
        study = _with(study, "seeds", [seed], file, "seed")
    if isinstance(study.get("report_to"), str):
        study["report_to"] = [] if study["report_to"] == "none" else [study["report_to"]]
    for key in SWITCHES:
        if isinstance(study.get(key), bool):
            study[key] = {} if study[key] else None
    if study.get("probes") == ALL:
        study["probes"] = [ALL]
    if isinstance(study.get("probes"), list):
        named = [_named(probe, f"probes[{i}]", file) for i, probe in enumerate(study["probes"])]
        study["probes"] = _spelled_out(named)
    if isinstance(study.get("arms"), dict):
        study["arms"] = {name: _arm(arm, name, file) for name, arm in study["arms"].items()}
    return study


def _arm(arm: Any, name: str, file: str) -> Any:
    """An arm with its training settings in their section; nothing at all is an arm of defaults, and a list
    is an arm of stages.
    """
    if isinstance(arm, list):
        arm = {"stages": arm}
    if not isinstance(arm, dict | None):
        return arm
    folded = _training_apart(arm or {}, f"arms.{name}", file)
    if isinstance(folded.get("edits"), list):
        place = f"arms.{name}.edits"
        folded["edits"] = [_named(edit, f"{place}[{i}]", file) for i, edit in enumerate(folded["edits"])]
    if isinstance(folded.get("stages"), list):
        place = f"arms.{name}.stages"
        folded["stages"] = [_stage(one, f"{place}[{i}]", file) for i, one in enumerate(folded["stages"])]
    return folded


def _training_apart(part: Mapping[str, Any], path: str, file: str) -> dict[str, Any]:
    """An arm or stage with its training settings in their section."""
    folded = {key: value for key, value in part.items() if key not in TrainingSpec.model_fields}
    for key, value in part.items():
        if key in TrainingSpec.model_fields:
            folded["training"] = _with(folded.get("training"), key, value, file, f"{path}.training")
    return folded


def _stage(stage: Any, path: str, file: str) -> Any:
    """A stage given as `objective`, as `objective: {keys}`, or in full."""
    if isinstance(stage, str):
        return {"objective": stage}
    if not isinstance(stage, dict):
        return stage
    if len(stage) == 1 and not {*stage} & {*StageSpec.model_fields, *TrainingSpec.model_fields}:
        [(objective, keys)] = stage.items()
        stage = _with(keys, "objective", objective, file, path)
    return _training_apart(stage, path, file)


def _spelled_out(probes: list[Any]) -> list[Any]:
    """`all` replaced by every registered probe that is not named beside it; those are optional."""
    if {"name": ALL} not in probes:
        return probes
    named = [probe for probe in probes if probe != {"name": ALL}]
    known = {probe.get("name") for probe in named if isinstance(probe, dict)}
    rest = [{"name": name, "optional": True} for name in available("probes") if name not in known]
    return [*named, *rest]


def _named(part: Any, path: str, file: str) -> Any:
    """A probe or edit given as `name`, as `name: {options}`, or in full."""
    if isinstance(part, str):
        return {"name": part}
    if not isinstance(part, dict) or "name" in part:
        return part
    if len(part) != 1:
        raise SpecError(
            "expected a name, alone or with its options.",
            file=file,
            field=path,
            remedy="Write `- forgetting` or `- forgetting: {limit: 100}`.",
        )
    [(name, options)] = part.items()
    return {"name": name, "options": options or {}}


def _with(section: Any, key: str, value: Any, file: str, path: str) -> dict[str, Any]:
    """A section with one more key. Raises: SpecError if the key is already there."""
    if section is not None and not isinstance(section, dict):
        raise SpecError("expected keys and values.", file=file, field=path)
    if section and key in section:
        raise SpecError(f"'{key}' is given twice.", file=file, field=path, remedy="Keep one of the two.")
    return {**(section or {}), key: value}
