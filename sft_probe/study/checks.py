"""What is wrong with a study, in sentences: unknown keys, unknown names, wrong types."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, get_args, get_origin

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from sft_probe import registry
from sft_probe.errors import SpecError, nearest
from sft_probe.study.folding import SECTIONS
from sft_probe.study.spec import ArmSpec, RegulariserSpec, Spec, StageSpec, StudySpec, TrainingSpec

EXPECTED = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "string": "text",
    "tuple": "a list",
    "dict": "keys and values",
    "model": "keys and values",
    "path": "a path",
}


def check_keys(raw: Any, model: type[Spec] = StudySpec, path: str = "", file: str = "study") -> None:
    """Refuse keys that no specification has. Raises: SpecError with the nearest key that may stand there.

    raw: in nested form. A value of a wrong type is passed over; the validation that follows names it.
    """
    if not isinstance(raw, Mapping):
        return
    known = {*model.model_fields, *_flat_keys(model)}
    for key, value in raw.items():
        here = f"{path}.{key}" if path else key
        if key not in known:
            raise SpecError("unknown key.", file=file, field=here, remedy=nearest(key, known))
        for inner, place, part in _inside(model, key, value, here):
            check_keys(part, inner, place, file)


def check_names(spec: StudySpec, file: str) -> None:
    """Refuse probes, methods and formats that nobody has registered. Raises: SpecError."""
    probes = {f"probes[{i}]": probe.name for i, probe in enumerate(spec.probes)}
    slow = {f"schedule.ends_only[{i}]": name for i, name in enumerate(spec.schedule.ends_only)}
    edits = {
        f"arms.{name}.edits[{i}]": edit.name
        for name, arm in spec.arms.items()
        for i, edit in enumerate(arm.edits)
    }
    used: dict[registry.Kind, dict[str, str]] = {
        "probes": probes | slow,
        "methods": {f"arms.{name}.method": arm.method for name, arm in spec.arms.items()},
        "objectives": {
            f"arms.{name}.stages[{i}].objective": stage.objective
            for name, arm in spec.arms.items()
            for i, stage in enumerate(arm.stages)
        },
        "edits": edits,
        "formats": {"data.format": spec.data.format} if spec.data.format != "auto" else {},
    }
    for kind, names in used.items():
        known = registry.available(kind) if names else {}
        for field, name in names.items():
            if name not in known:
                message = f"there is no {kind[:-1]} named '{name}'."
                raise SpecError(message, file=file, field=field, remedy=nearest(name, known))


def readable(error: ValidationError, file: str, prefix: tuple[int | str, ...] = ()) -> SpecError:
    """The first thing pydantic found wrong as one sentence, and how many more there are."""
    first, *more = error.errors()
    path = (*prefix, *first["loc"])
    inner = first.get("ctx", {}).get("error")
    if isinstance(inner, ValidationError):
        return readable(inner, file, path)
    field = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".")
    remedy = f"({len(more)} more like this.)" if more else None
    return SpecError(_sentence(first), file=file, field=field or None, remedy=remedy)


def _flat_keys(model: type[Spec]) -> set[str]:
    """Keys that may stand here beside the fields: registered names, or what was folded into a section."""
    if model is RegulariserSpec:
        return {*registry.available("regularisers")}
    if model is StudySpec:
        return {"seed", *(key for section in SECTIONS.values() for key in section.model_fields)}
    return set(TrainingSpec.model_fields) if model in (ArmSpec, StageSpec) else set()


def _inside(model: type[Spec], key: str, value: Any, path: str) -> Iterator[tuple[type[Spec], str, Any]]:
    """Specifications within a value, each with its path and raw content."""
    annotation = model.model_fields[key].annotation if key in model.model_fields else None
    overrides = model in (ArmSpec, StageSpec) and key == "training"
    inner = TrainingSpec if overrides else _spec_in(annotation)
    if inner is None:
        return
    if get_origin(annotation) is dict and inner is not TrainingSpec and isinstance(value, Mapping):
        yield from ((inner, f"{path}.{name}", part) for name, part in value.items())
    elif get_origin(annotation) is tuple and isinstance(value, Sequence):
        yield from ((inner, f"{path}[{index}]", part) for index, part in enumerate(value))
    else:
        yield inner, path, value


def _spec_in(annotation: Any) -> type[Spec] | None:
    if isinstance(annotation, type) and issubclass(annotation, Spec):
        return annotation
    return next((spec for part in get_args(annotation) if (spec := _spec_in(part))), None)


def _sentence(error: ErrorDetails) -> str:
    """One pydantic error in words. Its types are listed in pydantic's docs under "Validation Errors"."""
    kind, context = error["type"], error.get("ctx", {})
    if kind == "missing":
        return "this key is required."
    if kind == "value_error":
        return f"{str(context['error']).rstrip('.')}."
    if kind == "literal_error":
        return f"expected {context['expected']}, found {error['input']!r}."
    if kind == "too_short":
        return "expected at least one."
    if expected := EXPECTED.get(kind.split("_")[0]):
        return f"expected {expected}, found {error['input']!r}."
    return f"{error['msg'].replace('Input should', 'the value should')}, found {error['input']!r}."
